"""The verdict on a residual in words, and the outlines of its places."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFrame, QPushButton, QVBoxLayout

from napari_lowdose.inspection.inspect_result import noise_notes
from napari_lowdose.widgets.inspect.drawn_shapes import outlines
from napari_lowdose.widgets.run_panel import text_label

if TYPE_CHECKING:
    from typing import Any

    from napari.components import LayerList
    from napari.layers import Image, Shapes

    from napari_lowdose.inspection import Inspection

BORDERS = {
    "noise": "#2fbf71",
    "weakened": "#e5a50a",
    "unknown": "#e5a50a",
    "removed": "#e0424d",
    "invented": "#e0424d",
}
KINDS = {"edges": "#ff3b47", "structure": "#ff3b47", "invented": "#c061cb", "pixel": "#e5a50a"}
OUTLINES = "places"


class Findings(QFrame):
    """Headline and sentences of a verdict, and a button that outlines the places.

    Parameters
    ----------
    layers : LayerList
    """

    def __init__(self, layers: LayerList) -> None:
        super().__init__()
        self._layers = layers
        self._image: Image | None = None
        self._found: Inspection | None = None
        self._outlines: Shapes | None = None
        self._outlining = False  # whether the outlines follow the next inspection
        self.setObjectName("findings")
        self.headline = text_label(selectable=True)
        font = self.headline.font()
        font.setBold(True)
        self.headline.setFont(font)
        self.sentences = text_label(selectable=True)
        self.button = QPushButton("Outline the places")
        self.button.setToolTip(
            "<qt>Add a layer of boxes around the places where what was removed is not noise. Red: "
            "structure is missing from the result. Violet: the result has structure that the raw "
            "image contradicts. Yellow: a single pixel.</qt>"
        )
        self.button.clicked.connect(self.outline)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 4, 4, 4)
        layout.setSpacing(4)
        for part in (self.headline, self.sentences, self.button):
            layout.addWidget(part)
        removed = layers.events.removed
        removed.connect(self._removed)
        # The viewer outlives this widget.
        self.destroyed.connect(lambda: removed.disconnect(self._removed))
        self.clear()

    def clear(self) -> None:
        """Remove the text and the outlines."""
        self.set_stale()
        self._outlining = False
        self.hide()

    def set_stale(self) -> None:
        """Remove what is said about another frame, until the next inspection."""
        self._found = self._image = None
        self._remove_outlines()
        self.headline.setText("…")
        self.sentences.setText("")
        self.button.hide()

    def show_inspection(self, found: Inspection, image: Image) -> None:
        """Show the verdict on a result; outlines that are shown follow.

        Parameters
        ----------
        found : Inspection
        image : Image
            Layer whose places are outlined.
        """
        self._remove_outlines()
        self._found, self._image = found, image
        self.headline.setText(found.verdict.headline)
        lines = [*found.verdict.sentences, *noise_notes(found.noise)]
        lines += [f"{name}: {value:.2f} dB." for name, value in found.metrics.items()]
        self.sentences.setText("\n".join(f"• {line}" for line in lines))
        colour = BORDERS[found.verdict.finding]
        self.setStyleSheet(f"#findings {{ border: none; border-left: 4px solid {colour}; }}")
        self.button.setVisible(bool(found.places.places))
        self.show()
        if self._outlining:
            self.outline()

    def outline(self) -> None:
        """Outline the places on the canvas."""
        if self._found is None or self._image is None:
            return
        self._remove_outlines()
        self._outlining = True
        if not self._found.places.places:
            return
        selected = set(self._layers.selection)
        places = self._found.places.places
        self._outlines = outlines(
            self._image,
            [place.box for place in places],
            [KINDS[place.kind] for place in places],
            f"{self._image.name} {OUTLINES}",
        )
        self._layers.append(self._outlines)
        self._layers.selection = selected

    def _remove_outlines(self) -> None:
        layer, self._outlines = self._outlines, None
        if layer is not None and layer in self._layers:
            self._layers.remove(layer)

    def _removed(self, event: Any) -> None:
        if event.value is self._outlines:
            self._outlines, self._outlining = None, False
