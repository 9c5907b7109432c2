"""Pictures side by side, to pick the best one by a click."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QBoxLayout, QHBoxLayout, QLabel, QSizePolicy, QWidget

from napari_lowdose.widgets.pixmaps import grey_pixmap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from qtpy.QtGui import QMouseEvent, QResizeEvent

SIDE_BY_SIDE = 660  # width in pixels, from which the pictures are beside each other
HEIGHT = 190  # of a picture, at most, below each other, pixels
MARGIN = 24  # for the number of a picture, pixels
PERCENTILES = (0.5, 99.8)  # shown as black and as white


class Pictures(QWidget):
    """Pictures with the same contrast, each with a number.

    They are beside each other in a wide dock, and below each other in a narrow one.

    Parameters
    ----------
    n : int
        Number of pictures.
    """

    picked = Signal(int)
    """Position of the best picture, from 0."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.pictures = [Picture(f"{number + 1}") for number in range(n)]
        self._row = QBoxLayout(QBoxLayout.Direction.TopToBottom, self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(4)
        for number, picture in enumerate(self.pictures):
            self._row.addWidget(picture)
            picture.clicked.connect(functools.partial(self._pick, number))
        self._enabled = False
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def show_images(self, images: Sequence[NDArray[Any]]) -> None:
        """Show (h, w) images in this order; none hides the pictures."""
        self.setVisible(bool(images))
        if images:
            low, high = np.percentile(np.stack(images), PERCENTILES)
            for picture, image in zip(self.pictures, images, strict=False):
                picture.show_image(image, float(low), float(high))
        for number, picture in enumerate(self.pictures):
            picture.setVisible(number < len(images))
        self._enabled = bool(images)

    def set_clickable(self, clickable: bool) -> None:
        """Enable or disable picking."""
        self._enabled = clickable
        for picture in self.pictures:
            picture.image.setEnabled(clickable)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Arrange the pictures for the width."""
        super().resizeEvent(event)
        wide = self.width() >= SIDE_BY_SIDE
        self._row.setDirection(
            QBoxLayout.Direction.LeftToRight if wide else QBoxLayout.Direction.TopToBottom
        )
        for picture in self.pictures:
            picture.fit(
                self.width() // len(self.pictures) - MARGIN if wide else self.width() - MARGIN, wide
            )

    def _pick(self, position: int) -> None:
        if self._enabled:
            self.picked.emit(position)


class Picture(QWidget):
    """A picture and the key that picks it.

    Parameters
    ----------
    key : str
    """

    clicked = Signal()

    def __init__(self, key: str) -> None:
        super().__init__()
        self.image = QLabel()
        self.image.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.image.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.image.setToolTip(f"<qt>Click, or press {key}, if this is the best picture.</qt>")
        self.image.setCursor(Qt.CursorShape.PointingHandCursor)
        self.name = QLabel(key)
        self.name.setStyleSheet("font-size: 14pt; font-weight: bold;")
        self._pixmap = QPixmap()
        self._size = QSize(300, HEIGHT)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.name)
        layout.addWidget(self.image, 1)

    def show_image(self, image: NDArray[Any], low: float, high: float) -> None:
        """Show an image from black at `low` to white at `high`."""
        self._pixmap = grey_pixmap(image, low, high)
        self._draw()

    def fit(self, width: int, square: bool) -> None:
        """Fit the picture into a width, pixels."""
        self._size = QSize(max(width, 1), max(width, 1) if square else HEIGHT)
        self._draw()

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Pick the picture."""
        self.clicked.emit()

    def _draw(self) -> None:
        if self._pixmap.isNull():
            return
        fitting = self._pixmap.scaled(
            self._size,
            Qt.AspectRatioMode.KeepAspectRatio,
            Qt.TransformationMode.SmoothTransformation,
        )
        self.image.setPixmap(fitting)
        self.image.setFixedHeight(fitting.height())
