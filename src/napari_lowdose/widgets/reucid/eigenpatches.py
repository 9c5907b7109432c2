"""The eigenpatches of a patch stack: show them, and keep or drop them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import (  # type: ignore[attr-defined]
    QRectF,
    QSize,
    Qt,
    Signal,
)
from qtpy.QtGui import QColor, QIcon, QImage, QPainter, QPalette, QPen, QPixmap
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QListView,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_lowdose.reucid.alike import AlikeStep
from napari_lowdose.widgets.run_panel import text_label
from napari_lowdose.widgets.themed_plot import ThemedPlot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from qtpy.QtGui import QFocusEvent, QKeyEvent, QPaintEvent

    from napari_lowdose.reucid import StackStep

TILE = 42  # pixels
KEPT = QColor("#2fbf71")
DROPPED = QColor("#8a8f98")
TOGGLE_HELP = (
    "<qt>Click on an eigenpatch, or press the space bar on it, to keep or drop it in every stack."
    "</qt>"
)
PILOT_HELP = (
    "<qt>The pilot is denoised with these eigenpatches, and patches that look alike are found in "
    "it. To choose the eigenpatches by hand, use strength <i>faithful</i>, or <code>keep</code> in "
    "a script.</qt>"
)


class EigenpatchGallery(QWidget):
    """A scree plot above the eigenpatches; a click in either keeps or drops one.

    Parameters
    ----------
    parent : QWidget, optional
    """

    toggled = Signal(int, int)
    """Position of the stack and number of the eigenpatch that was clicked."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._stacks: Sequence[StackStep] = ()
        self._chosen: Sequence[StackStep] = ()
        self._items: list[QListWidgetItem] = []
        self._clickable = False
        self.title = text_label()
        self.caption = QLabel()
        self.stack_combo = QComboBox()
        self.stack_combo.setToolTip("Patch stack to show")
        self.stack_combo.currentIndexChanged.connect(self._draw)
        self.scree = _ScreePlot()
        self.scree.clicked.connect(self._clicked)
        self.tiles = _Tiles()
        self.tiles.chosen.connect(self._clicked)
        top = QHBoxLayout()
        top.addWidget(self.caption, 1)
        top.addWidget(self.stack_combo)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.title)
        layout.addLayout(top)
        layout.addWidget(self.scree)
        layout.addWidget(self.tiles, 1)

    def show_stacks(
        self, stacks: Sequence[StackStep], chosen: Sequence[StackStep], of: str = ""
    ) -> None:
        """Show the eigenpatches of `stacks`, and how they differ from those `chosen` by the engine.

        Parameters
        ----------
        stacks, chosen : sequence of StackStep
        of : str
            Name of the result that a click changes.
        """
        self.title.setText(f"Eigenpatches of {of}")
        self.title.setVisible(bool(of))
        self._stacks, self._chosen = stacks, chosen
        if self.stack_combo.count() != len(stacks):
            seen = max(self.stack_combo.currentIndex(), 0)
            self.stack_combo.blockSignals(True)
            self.stack_combo.clear()
            self.stack_combo.addItems([f"stack {s.stack + 1} of {s.n_stacks}" for s in stacks])
            self.stack_combo.setCurrentIndex(min(seen, len(stacks) - 1))
            self.stack_combo.blockSignals(False)
        self.stack_combo.setVisible(len(stacks) > 1)
        self._draw()

    @property
    def stack(self) -> StackStep | None:
        """The patch stack that is shown."""
        position = self.stack_combo.currentIndex()
        return self._stacks[position] if 0 <= position < len(self._stacks) else None

    def set_clickable(self, clickable: bool) -> None:
        """Enable or disable clicks: they do nothing during a run."""
        self._clickable = clickable
        self._caption()

    def _draw(self) -> None:
        position = self.stack_combo.currentIndex()
        if not 0 <= position < len(self._stacks):
            self.tiles.clear()
            return
        stack = self._stacks[position]
        self.scree.show_values(stack.singular_values, stack.kept, stack.noise_floor)
        if self.tiles.count() != len(stack.kept):  # otherwise keep the scroll position
            self.tiles.clear()
            self._items = [QListWidgetItem(self.tiles) for _ in stack.kept]
        for number, item in enumerate(self._items):
            item.setIcon(QIcon(_tile(stack.eigenpatches[number], bool(stack.kept[number]))))
            item.setToolTip(self._tooltip(stack, position, number))
        self._caption()

    def _tooltip(self, stack: StackStep, position: int, number: int) -> str:
        kept = bool(stack.kept[number])
        by_hand = kept != bool(self._chosen[position].kept[number])
        values = stack.singular_values
        return (
            f"Eigenpatch {number + 1}: singular value {values[number]:.4g} "
            f"({values[number] / values[0]:.1%} of the first), "
            f"utility {stack.utilities[number]:.2f}.\n"
            f"{'Kept' if kept else 'Dropped'} {'by you' if by_hand else 'by the engine'}."
        )

    def _caption(self) -> None:
        position = self.stack_combo.currentIndex()
        if not 0 <= position < len(self._stacks):
            return
        kept = self._stacks[position].kept
        self.caption.setToolTip(PILOT_HELP if self._of_pilot else TOGGLE_HELP)
        if self._of_pilot:
            self.caption.setText(f"<b>{kept.sum()} of {len(kept)}</b> kept in the pilot · fixed")
            return
        between = " · " if len(self._stacks) == 1 else "<br>"  # beside the combo box
        hint = f"{between}click to toggle" if self._clickable else ""
        self.caption.setText(f"<b>{kept.sum()} of {len(kept)}</b> kept{hint}")

    @property
    def _of_pilot(self) -> bool:
        """Whether the eigenpatches are those of a pilot, which cannot be changed afterwards."""
        return any(isinstance(stack, AlikeStep) for stack in self._stacks)

    def _clicked(self, number: int) -> None:
        if self._clickable and not self._of_pilot:
            self.toggled.emit(self.stack_combo.currentIndex(), number)


class _Tiles(QListWidget):
    """The eigenpatches in rows; a click, the space bar or Enter chooses one."""

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setMovement(QListView.Movement.Static)
        self.setSelectionMode(QListView.SelectionMode.NoSelection)
        self.setIconSize(QSize(TILE, TILE))
        self.setGridSize(QSize(TILE + 4, TILE + 4))
        self.setMinimumHeight(2 * (TILE + 4) + 6)
        self.setAccessibleName("eigenpatches")
        self.itemClicked.connect(lambda item: self.chosen.emit(self.row(item)))

    def focusInEvent(self, event: QFocusEvent | None) -> None:
        """Start at the first eigenpatch."""
        super().focusInEvent(event)
        if self.currentRow() < 0 and self.count():
            self.setCurrentRow(0)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Choose the eigenpatch at the cursor."""
        keys = (Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if event is not None and event.key() in keys:
            if self.currentRow() >= 0:
                self.chosen.emit(self.currentRow())
            event.accept()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Outline the eigenpatch at the cursor, which napari's style does not show."""
        super().paintEvent(event)
        if self.hasFocus() and self.currentItem() is not None:
            painter = QPainter(self.viewport())
            painter.setPen(QPen(self.palette().color(QPalette.ColorRole.WindowText), 2))
            painter.drawRect(self.visualItemRect(self.currentItem()).adjusted(1, 1, -1, -1))
            painter.end()


class _ScreePlot(ThemedPlot):
    """Singular values on a logarithmic axis, filled for kept eigenpatches."""

    clicked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.getPlotItem().getViewBox().setDefaultPadding(0.1)  # the topmost label needs room
        self.setLogMode(y=True)
        self.setLabel("left", "singular value")
        self.setLabel("bottom", "eigenpatch")
        self.getAxis("left").setStyle(hideOverlappingLabels=False)  # it would hide the topmost
        self._floor = pg.InfiniteLine(angle=0, pen=pg.mkPen(DROPPED, style=Qt.PenStyle.DashLine))
        self.addItem(self._floor, ignoreBounds=True)
        self.setToolTip("Dashed: the singular value of pure white noise.")
        self._points = self.plot(pen=pg.mkPen(DROPPED, width=1), symbol="o", symbolSize=7)
        self._points.scatter.sigClicked.connect(self._point_clicked)

    def show_values(
        self, values: NDArray[Any], kept: NDArray[np.bool_], noise_floor: float
    ) -> None:
        self._floor.setVisible(noise_floor > 0)
        if noise_floor > 0:
            self._floor.setValue(np.log10(noise_floor))
        positive = np.maximum(values, values[0] * 1e-6)
        # The automatic logarithmic ticks overlap in a plot as low as this.
        ends = {float(positive[0]), float(positive[-1])}
        ticks = [(np.log10(end), f"{end:.0f}" if end >= 100 else f"{end:.3g}") for end in ends]
        self.getAxis("left").setTicks([ticks])
        # pyqtgraph leaves out labels that do not fit; the axis name needs room beside them.
        widest = max(self.fontMetrics().horizontalAdvance(text) for _, text in ticks)
        self.getAxis("left").setWidth(max(48, widest + 28))
        colours = [KEPT if each else DROPPED for each in kept]
        self._points.setData(
            np.arange(1, len(values) + 1),
            positive,
            symbolBrush=[pg.mkBrush(c if k else None) for c, k in zip(colours, kept, strict=True)],
            symbolPen=[pg.mkPen(c) for c in colours],
        )

    def _point_clicked(self, _plot: object, points: Sequence[Any]) -> None:
        if len(points):
            self.clicked.emit(int(points[0].index()))


def _tile(eigenpatch: NDArray[np.float32], kept: bool) -> QPixmap:
    """Draw an eigenpatch, grey at zero: framed if kept, faint and crossed out if dropped."""
    largest = float(np.abs(eigenpatch).max()) or 1.0
    grey = (127.5 + 127.5 * eigenpatch / largest).astype(np.uint8)
    height, width = grey.shape[0], grey.shape[1]
    image = QImage(grey.tobytes(), width, height, width, QImage.Format.Format_Grayscale8)
    tile = QPixmap(TILE, TILE)
    tile.fill(Qt.GlobalColor.transparent)
    frame = QRectF(1.5, 1.5, TILE - 3, TILE - 3)
    painter = QPainter(tile)
    painter.setOpacity(1 if kept else 0.35)
    painter.drawImage(frame, image)
    painter.setOpacity(1)
    painter.setPen(QPen(KEPT if kept else DROPPED, 3 if kept else 1))
    painter.drawRect(frame)
    if not kept:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.drawLine(frame.bottomLeft(), frame.topRight())
    painter.end()
    return tile


# Eigenpatches of two stacks with a larger |cosine| show the same structure.
MIN_SIMILARITY = 0.5


def toggle_eigenpatch(stacks: Sequence[StackStep], stack: int, number: int) -> list[StackStep]:
    """Return `stacks` with one eigenpatch toggled between kept and dropped.

    Every stack has its own eigenpatches.  In each of the other stacks, the most similar
    eigenpatch (largest absolute cosine, if above 0.5) gets the same choice.

    Parameters
    ----------
    stacks : sequence of StackStep
        The finished patch stacks of one frame, all with the same patch size.
    stack : int
        Position in `stacks` of the clicked one.
    number : int
        Number of the eigenpatch in that stack.

    Returns
    -------
    list of StackStep
        A stack's last kept eigenpatch is never dropped.

    Raises
    ------
    ValueError
        If the eigenpatch is the last kept one of the clicked stack.
    """
    seen = stacks[stack]
    keep = not seen.kept[number]
    if not keep and seen.kept.sum() == 1:
        raise ValueError("at least one eigenpatch must be kept.")
    pattern = seen.eigenpatches[number]
    return [
        _with_choice(each, number if each is seen else _most_similar(each, pattern), keep)
        for each in stacks
    ]


def _most_similar(stack: StackStep, pattern: np.ndarray) -> int | None:
    patches = stack.eigenpatches.reshape(len(stack.eigenpatches), -1)
    norms = np.linalg.norm(patches, axis=1) * np.linalg.norm(pattern)
    cosines = np.abs(patches @ pattern.ravel()) / np.maximum(norms, np.finfo(float).tiny)
    best = int(cosines.argmax())
    return best if cosines[best] > MIN_SIMILARITY else None


def _with_choice(stack: StackStep, number: int | None, keep: bool) -> StackStep:
    if number is None:
        return stack
    kept = stack.kept.copy()
    kept[number] = keep
    return replace(stack, kept=kept) if kept.any() else stack
