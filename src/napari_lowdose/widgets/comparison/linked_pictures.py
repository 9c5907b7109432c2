"""Pictures beside each other that are moved and zoomed together."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QRectF, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QGridLayout, QPushButton, QWidget

from napari_lowdose.widgets.run_panel import text_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image
    from numpy.typing import NDArray

LEAST_SIDE = 180  # pixels of the screen
COLOURS = 256


class LinkedPictures(QWidget):
    """Pictures with a title, a caption and perhaps a button each, which share zoom and position.

    Parameters
    ----------
    labels : sequence of str
        Of the buttons, one for each picture; no button if it is empty.
    parent : QWidget, optional
    """

    pressed = Signal(int)
    """Position of the picture whose button was pressed, from 0."""

    def __init__(self, labels: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.titles = [text_label() for _ in labels]
        self.captions = [text_label(selectable=True) for _ in labels]
        self.buttons = [QPushButton(label) for label in labels]
        self.items = [pg.ImageItem(axisOrder="row-major") for _ in labels]
        self._boxes = [pg.ViewBox(lockAspect=True, invertY=True, enableMenu=False) for _ in labels]
        layout = QGridLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.setRowStretch(1, 1)
        for column, (item, box) in enumerate(zip(self.items, self._boxes, strict=True)):
            view = pg.GraphicsView(background="k")
            view.setMinimumSize(LEAST_SIDE, LEAST_SIDE)
            view.setCentralItem(box)
            box.addItem(item)
            box.linkView(box.XAxis, self._boxes[0] if column else None)
            box.linkView(box.YAxis, self._boxes[0] if column else None)
            self.titles[column].setStyleSheet("font-weight: bold;")
            button = self.buttons[column]
            button.clicked.connect(functools.partial(self._press, column))
            button.setVisible(bool(button.text()))
            layout.setColumnStretch(column, 1)
            for row, part in enumerate((self.titles[column], view, self.captions[column], button)):
                layout.addWidget(part, row, column)

    def show_texts(self, titles: Sequence[str], captions: Sequence[str]) -> None:
        """Show a title and a caption with each picture, without images so far."""
        for item in self.items:
            item.clear()
        for labels, texts in ((self.titles, titles), (self.captions, captions)):
            for label, text in zip(labels, texts, strict=True):
                label.setText(text)

    def show_image(
        self,
        position: int,
        image: NDArray[np.float32],
        layer: Image,
        limits: Sequence[float],
    ) -> None:
        """Show an image.

        Parameters
        ----------
        position : int
            Of the picture, from 0.
        image : (h, w) array
        layer : Image
            Its pixel size and colormap are used.
        limits : (float, float)
            Contrast limits.
        """
        colours = 255 * layer.colormap.map(np.linspace(0, 1, COLOURS))
        (height, width), (dy, dx) = image.shape, layer.scale[-2:]
        self.items[position].setImage(image, levels=tuple(limits), lut=np.uint8(colours))
        self.items[position].setRect(QRectF(0, 0, float(width * dx), float(height * dy)))

    def show_whole(self) -> None:
        """Zoom to the whole pictures."""
        self._boxes[0].autoRange(padding=0)

    def _press(self, position: int, checked: bool = False) -> None:
        self.pressed.emit(position)
