# mypy: allow-untyped-calls
"""Sites of a layer into which a defect is planted, as a layer of points with the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Points

from napari_lowdose.engine import rescale_steps
from napari_lowdose.survival import SurvivalTest, checked_sites
from napari_lowdose.widgets.layer_run import snapshot
from napari_lowdose.widgets.layers import frame_in_view, validation_error, view_error
from napari_lowdose.widgets.result_layer import METADATA_KEY, is_result, layer_pixels, placement

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari.components import Dims, LayerList
    from napari.layers import Image

    from napari_lowdose.engine import Engine, Step
    from napari_lowdose.frames import Index
    from napari_lowdose.survival import Survival

COLOUR = "orange"
TEXT_SIZE = 12
BESIDE = 0.35  # diameters of a ring, from its centre to its edge along a diagonal
WAITING = "…"
MEASURED_ALREADY = "This site has been measured already: click on another one."


@dataclass(frozen=True)
class Subject:
    """A raw frame, and how it is denoised.

    Attributes
    ----------
    layer : Image
    frame : tuple of int
    engine : Engine
    name : str
        Name of the result.
    how : str
        How it is denoised, a few words.
    """

    layer: Image
    frame: Index
    engine: Engine
    name: str
    how: str

    def pixel_at(self, position: Sequence[float]) -> tuple[int, int]:
        """Return the pixel (y, x) at a position in world coordinates.

        Raises
        ------
        ValueError
            If the position is outside of the image.
        """
        y, x = (round(float(at)) for at in self.layer.world_to_data(position)[-2:])
        checked_sites((y, x), layer_pixels(self.layer).shape[-2:])
        return y, x


def raw_frame_in_view(dims: Dims, layer: Image | None) -> Index:
    """Return the index of the frame in view of a layer into which a defect can be planted.

    Raises
    ------
    ValueError
        If the layer has no raw image, or none that can be clicked on in this view.
    """
    if reason := validation_error(layer):
        raise ValueError(reason)
    assert layer is not None  # or there would be a reason
    if is_result(layer):
        raise ValueError(f"'{layer.name}' is a result: choose the raw image that it was made from.")
    if dims.ndisplay == 3:
        raise ValueError("A site is chosen by a click in 2D: switch the viewer to 2D.")
    if reason := view_error(dims, layer):
        raise ValueError(reason)
    return frame_in_view(dims, layer)


@dataclass(eq=False)
class Mark:
    """A site that was clicked on.

    Attributes
    ----------
    position : (float, float)
        (y, x), pixels.
    share : float or None
        Fraction of the planted contrast that survives; None until it is measured.
    """

    position: tuple[float, float]
    share: float | None = None


class PlantedSites:
    """Sites of the same kind, which are changed and denoised one after the other.

    A layer of points shows the share that survives at each of them.

    Parameters
    ----------
    layers : LayerList
    subject : Subject
    contrast : float
        Change, as a fraction of the contrast of a site.

    Attributes
    ----------
    layer : Points
    """

    def __init__(self, layers: LayerList, subject: Subject, contrast: float) -> None:
        self.subject, self.contrast = subject, contrast
        source = subject.layer
        self._layers, self._data = layers, source.data
        self._pixels = snapshot(layer_pixels(source)[subject.frame])
        self._test: SurvivalTest | None = None
        self._marks: list[Mark] = []
        options = placement(source, source.ndim)
        del options["colormap"]
        self.layer = Points(
            np.empty((0, source.ndim)),
            features={"label": [], "share": []},
            text={"string": "{label}", "color": COLOUR, "size": TEXT_SIZE, "anchor": "upper_left"},
            face_color="transparent",
            border_color=COLOUR,
            name=f"{subject.name} survival",
            **options,
        )
        selected = set(layers.selection)
        layers.append(self.layer)
        layers.selection = selected  # napari selects a new layer
        self.layer.editable = False

    @property
    def removed(self) -> bool:
        """Whether the user has removed the layer of the image or that of the sites."""
        return self.subject.layer not in self._layers or self.layer not in self._layers

    @property
    def result(self) -> Survival | None:
        """The survival at all sites so far; None before the first."""
        return self._test.result if self._test is not None and self._test.sites else None

    def are_of(self, subject: Subject, contrast: float) -> bool:
        """Whether these sites are of the same image, method and contrast."""
        same_data = subject.layer.data is self._data
        return (
            not self.removed and same_data and (subject, contrast) == (self.subject, self.contrast)
        )

    def add(self, position: tuple[int, int]) -> Mark:
        """Show a site that is going to be measured."""
        mark = Mark(position)
        self._marks.append(mark)
        self._show()
        return mark

    def steps(self, mark: Mark) -> Iterator[Step]:
        """Measure the site nearest to a mark; runs in a thread.

        Raises
        ------
        ValueError
            If it cannot be measured.
        """
        if self._test is None:
            pixels = np.asarray(self._pixels)  # lazy data are read here
            self._test = SurvivalTest(pixels, self.subject.engine, self.contrast)
        site = yield from rescale_steps(self._test.find_site(mark.position), 0.0, 0.0)
        if site in self._test.sites:
            raise ValueError(MEASURED_ALREADY)
        yield from self._test.measure(site)

    def show_result(self, mark: Mark) -> None:
        """Show the share that survives at the site that was measured last."""
        assert self._test is not None  # it has measured the site
        mark.position = self._test.sites[-1]
        mark.share = float(self._test.result.shares[-1].mean())
        self._show()

    def drop(self, mark: Mark) -> None:
        """Remove a site that could not be measured."""
        self._marks.remove(mark)
        self._show()

    def _show(self) -> None:
        frame = self.subject.frame
        points = [(*frame, *mark.position) for mark in self._marks]
        self.layer.data = np.array(points, float).reshape(-1, self.subject.layer.ndim)
        shares = [mark.share for mark in self._marks]
        self.layer.features = {
            "label": [WAITING if share is None else f"{share:.2f}" for share in shares],
            "share": [np.nan if share is None else share for share in shares],
        }
        if self._test is not None and (width := self._test.psf_width) is not None:
            self.layer.size = width
            # Beside the ring
            self.layer.text.translation = [*(0,) * len(frame), -BESIDE * width, BESIDE * width]
        self.layer.metadata[METADATA_KEY] = self._record()

    def _record(self) -> dict[str, Any]:
        """Return JSON-ready values: the input, the engine, the sites and what survives."""
        found = self.result
        record = {
            **self.subject.engine.about(),
            "input": {"layer": self.subject.layer.name, "frame": list(self.subject.frame)},
            "contrast": self.contrast,
        }
        if found is None or self._test is None:
            return record
        return record | {
            "sites": [list(site) for site in self._test.sites],
            "shares": found.shares.tolist(),
            "planted": found.planted.tolist(),
            "visibility": found.visibility.tolist(),
            "noise": [found.noise.gain, found.noise.offset, found.noise.read_noise],
        }
