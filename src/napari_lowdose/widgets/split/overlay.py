"""The two views of a camera frame over each other, in complementary colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QLabel, QSizePolicy

from napari_lowdose.widgets.pixmaps import colour_pixmap

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qtpy.QtGui import QResizeEvent

HEIGHT = 240  # pixels, at most
PERCENTILES = (1, 99.7)  # percentiles shown as black and as full colour


class SplitOverlay(QLabel):
    """First in magenta, second in green: grey where they agree."""

    def __init__(self) -> None:
        super().__init__()
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "<qt>Overlay of the first view in magenta and the second in green: grey where they "
            "agree, coloured fringes where they are misaligned.</qt>"
        )
        self._picture = QPixmap()
        self.show_views(None)

    def show_views(self, views: tuple[NDArray[Any], NDArray[Any]] | None) -> None:
        """Show two (Y, X) views; None hides the overlay."""
        self.setVisible(views is not None)
        if views is not None:
            self._picture = _picture(*views)
            self._fit()

    def sizeHint(self) -> QSize:
        """Return the size of the picture."""
        return QSize(300, HEIGHT)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Fit the picture into the available width."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        if self._picture.isNull():
            return
        fitting = self._picture.scaled(
            QSize(max(self.width(), 1), HEIGHT),
            Qt.AspectRatioMode.KeepAspectRatio,
            Qt.TransformationMode.SmoothTransformation,
        )
        self.setPixmap(fitting)
        self.setFixedHeight(fitting.height())


def overlay(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.uint8]:
    """Return (Y, X, 3) colours: first in red and blue, second in green, each from dark to full."""
    levels = []
    for view in (first, second):
        low, high = np.percentile(view, PERCENTILES)
        level = (view.astype(np.float32) - low) / (high - low or 1.0)
        levels.append(np.uint8(255 * np.clip(level, 0, 1)))
    return np.stack([levels[0], levels[1], levels[0]], axis=-1)


def _picture(first: NDArray[Any], second: NDArray[Any]) -> QPixmap:
    step = max(1, max(first.shape) // 512)  # enough for the screen
    return colour_pixmap(overlay(first[::step, ::step], second[::step, ::step]))
