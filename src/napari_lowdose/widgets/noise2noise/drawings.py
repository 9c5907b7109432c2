"""Small drawings of what a pair can be made of, in colours that suit a dark and a light theme."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPen, QPixmap

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = QSize(52, 34)  # pixels
SCALE = 2  # device pixels per pixel, for screens of high resolution
FRAME, SCENE = QColor("#8a8f98"), QColor("#2fbf71")


def icon(draw: Callable[[QPainter], None]) -> QIcon:
    """Return a drawing of `SIZE` as an icon."""
    pixmap = QPixmap(SIZE * SCALE)
    pixmap.setDevicePixelRatio(SCALE)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    draw(painter)
    painter.end()
    return QIcon(pixmap)


def two_layers(painter: QPainter) -> None:
    """Draw the same scene twice, each with its own noise."""
    for seed, left in enumerate((1, 28)):
        _exposure(painter, QRectF(left, 6, 22, 22), seed)


def film(painter: QPainter) -> None:
    """Draw three frames of a film."""
    for seed, left in enumerate((1, 18, 35)):
        _exposure(painter, QRectF(left, 9, 16, 16), seed, n=7)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(FRAME)
    for x in range(3, 50, 6):  # the perforation
        for y in (4, 27):
            painter.drawRect(QRectF(x, y, 3, 3))


def counts(painter: QPainter) -> None:
    """Draw single counts, each in one of two colours."""
    box = QRectF(11, 2, 30, 30)
    _outline(painter, box)
    painter.setPen(Qt.PenStyle.NoPen)
    rng = random.Random(4)
    for n in range(34):
        # More counts in the middle, where the scene is
        x, y = (min(max(rng.gauss(0.5, 0.23), 0.08), 0.92) for _ in range(2))
        painter.setBrush((FRAME, SCENE)[n % 2])
        painter.drawEllipse(_at(box, x, y), 1.5, 1.5)


def two_views(painter: QPainter) -> None:
    """Draw a camera frame whose halves show the same scene."""
    for seed, left in enumerate((3, 26)):
        _exposure(painter, QRectF(left, 5, 23, 24), seed)


def _exposure(painter: QPainter, box: QRectF, seed: int, n: int = 14) -> None:
    """Draw a frame that shows a spot, with noise."""
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(SCENE)
    painter.drawEllipse(_at(box, 0.42, 0.55), box.width() / 4.5, box.width() / 4.5)
    painter.setBrush(FRAME)
    rng = random.Random(seed)
    for _ in range(n):
        painter.drawEllipse(_at(box, rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9)), 0.8, 0.8)
    _outline(painter, box)


def _outline(painter: QPainter, box: QRectF) -> None:
    painter.setPen(QPen(FRAME, 1.2))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawRect(box)


def _at(box: QRectF, x: float, y: float) -> QPointF:
    return QPointF(box.left() + x * box.width(), box.top() + y * box.height())
