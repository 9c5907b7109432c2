"""What a pair can be made of: the choice at the top, its default, and the engine for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.layers import Image
from qtpy.QtCore import (  # type: ignore[attr-defined]
    Qt,
    Signal,
)
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from napari_lowdose.movie_pairs import MoviePairs
from napari_lowdose.thinning import Thinned
from napari_lowdose.widgets.layers import (
    axis_names,
    channel_axis,
    suggested_layer,
    suggested_pair,
)
from napari_lowdose.widgets.noise2noise import drawings
from napari_lowdose.widgets.result_layer import is_result, layer_pixels
from napari_lowdose.widgets.run_panel import text_label

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import LayerList
    from qtpy.QtGui import QPainter

    from napari_lowdose.imaging.poisson_gaussian import PoissonGaussian
    from napari_lowdose.movie_pairs import PairsOf
    from napari_lowdose.noise2noise import Noise2Noise
    from napari_lowdose.noise2noise.pair_source import PairSource

SourceName = Literal["pair", "movie", "counted", "split"]


@dataclass(frozen=True)
class Source:
    """One answer to 'What do you have?'.

    Attributes
    ----------
    label : str
        Two short lines below the drawing.
    sentence : str
    draw : callable
    """

    label: str
    sentence: str
    draw: Callable[[QPainter], None]


SOURCES: dict[SourceName, Source] = {
    "pair": Source(
        "Two\nlayers",
        "Two exposures of the same scene, in the same place, each with its own noise.",
        drawings.two_layers,
    ),
    "movie": Source(
        "A\nmovie",
        "A stack of frames in which little moves: its own frames are the pairs, and each frame is "
        "denoised by itself.",
        drawings.film,
    ),
    "counted": Source(
        "Counted\nimage",
        "One image of counted electrons or photons, or of known noise: its counts are divided at "
        "random between two exposures.",
        drawings.counts,
    ),
    "split": Source(
        "Two views\nin a frame",
        "A camera frame or movie with two views of the scene behind a beamsplitter: split it, and "
        "come back with two layers.",
        drawings.two_views,
    ),
}


class SourceChoice(QWidget):
    """Four drawings to choose from, with the sentence of the chosen one below."""

    chosen = Signal()
    """The user has chosen."""

    def __init__(self) -> None:
        super().__init__()
        self.sentence = text_label()
        self.buttons: dict[SourceName, QToolButton] = {}
        self._group = QButtonGroup(self)
        row = QHBoxLayout()
        row.setSpacing(4)
        for name, source in SOURCES.items():
            button = QToolButton()
            button.setCheckable(True)
            button.setText(source.label)
            button.setIcon(drawings.icon(source.draw))
            button.setIconSize(drawings.SIZE)
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
            button.setToolTip(f"<qt>{source.sentence}</qt>")
            button.setAccessibleName(source.label.replace("\n", " "))
            button.setStyleSheet(CHECKED)
            policy = button.sizePolicy()
            policy.setHorizontalPolicy(policy.Policy.Ignored)  # four equal parts of the dock
            policy.setHorizontalStretch(1)
            button.setSizePolicy(policy)
            button.clicked.connect(self._clicked)
            self._group.addButton(button)
            self.buttons[name] = button
            row.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(QLabel("<b>What do you have?</b>"))
        layout.addLayout(row)
        layout.addWidget(self.sentence)
        self.choose("pair")

    @property
    def value(self) -> SourceName:
        """The chosen source."""
        return next(name for name, button in self.buttons.items() if button.isChecked())

    def choose(self, name: SourceName) -> None:
        """Choose a source; `chosen` is not emitted."""
        self.buttons[name].setChecked(True)
        self.sentence.setText(SOURCES[name].sentence)

    def _clicked(self) -> None:
        self.choose(self.value)
        self.chosen.emit()


CHECKED = f"""
QToolButton {{ padding: 3px 0px; border: 1px solid transparent; border-radius: 4px; }}
QToolButton:checked {{ border: 1px solid {drawings.SCENE.name()}; }}
QToolButton:focus {{ border-style: dashed; border-color: {drawings.FRAME.name()}; }}
QToolButton:checked:focus {{ border-color: {drawings.SCENE.name()}; }}
"""


def suggested_source(layers: LayerList) -> tuple[SourceName, Image | None, Image | None]:
    """Return what the layers seem to be, and the layers to choose for it.

    Parameters
    ----------
    layers : LayerList

    Returns
    -------
    source : {"pair", "movie", "counted"}
        "pair" for two layers of one shape, "movie" for one stack of frames, "counted" for one
        image of whole numbers; whether their noise is that of counts is not known yet.
    first, second : Image or None
        Twice the same, except for a pair.
    """
    first, second = suggested_pair(layers)
    # Hidden layers are seldom exposures: the samples hide the noise-free image
    seen = [each for each in layers if isinstance(each, Image) and each.visible]
    seen = [each for each in seen if not is_result(each)]
    two_selected = first in layers.selection and second in layers.selection
    if first is not None and second is not None and first is not second:
        if two_selected or len(seen) > 1:
            alike = layer_pixels(first).shape == layer_pixels(second).shape
            movies = [layer for layer in seen if is_movie(layer)]
            if two_selected or alike or len(movies) != 1:
                return "pair", first, second
            return "movie", movies[0], movies[0]
    alone = seen[0] if seen else suggested_layer(layers)
    if alone is None or is_result(alone):
        return "pair", alone, alone
    if is_movie(alone):
        return "movie", alone, alone
    return ("counted" if _may_be_counts(alone) else "pair"), alone, alone


def is_movie(layer: object) -> bool:
    """Whether a layer is an exposure of several frames in time, as far as its axes are named."""
    if not isinstance(layer, Image) or layer.rgb or is_result(layer):
        return False
    names = axis_names(layer)
    several = layer_pixels(layer).ndim > 2 and layer_pixels(layer).shape[0] > 1
    return several and channel_axis(names) != 0 and not names[0].startswith("z")


def _may_be_counts(layer: Image) -> bool:
    """Whether an image holds whole numbers from 0 on, as far as a few rows in memory tell."""
    pixels = layer_pixels(layer)
    if layer.rgb or pixels.ndim < 2:
        return False
    if not isinstance(pixels, np.ndarray):  # not read in the thread of the user interface
        return bool(pixels.dtype.kind in "iu")
    rows = pixels[(0,) * (pixels.ndim - 2)][::64]
    return pixels.dtype.kind in "iuf" and bool((rows >= 0).all() and (rows % 1 == 0).all())


def engine_for(
    source: SourceName,
    training: Noise2Noise,
    pairs: PairsOf,
    noise: PoissonGaussian | Literal["estimate"] | None,
) -> Noise2Noise | PairSource:
    """Return the engine that makes the pairs of a source, and trains on them.

    Parameters
    ----------
    source : {"pair", "movie", "counted", "split"}
    training : Noise2Noise
    pairs : {"neighbours", "even-odd"}
        Of a movie.
    noise : PoissonGaussian, "estimate" or None
        Of a counted image; see `Thinned`.
    """
    if source not in ("movie", "counted"):
        return training
    alone: Any = replace(training, shift=(0.0, 0.0), affine=None, use="both")
    if source == "movie":
        return MoviePairs(replace(alone, context=0), pairs)
    return Thinned(replace(alone, every=1, normalise=False), noise)
