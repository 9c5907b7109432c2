"""Fill in the NaN and infinite pixels of layers, in layers of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import show_warning

from napari_lowdose.engine import Step
from napari_lowdose.widgets.result_layer import layer_pixels, placement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from napari.components import LayerList
    from napari.layers import Image
    from numpy.typing import NDArray
    from qtpy.QtWidgets import QPushButton

    from napari_lowdose.widgets.jobs import Job, JobRunner

FILLED_KEY = "napari-lowdose filled in"
NOT_FINITE = "NaN or infinite"  # in the messages of the engines
FILL_IN = "Fill them in"
FILL_IN_HELP = (
    "<qt>Add a copy of each layer whose NaN and infinite pixels are interpolated from those around "
    "them, and choose it. Its name and metadata say so.</qt>"
)


class FillIn:
    """Offers to fill in the pixels for which layers were refused, and does it in a thread.

    Parameters
    ----------
    layers : LayerList
        Layer list for the copies.
    runner : JobRunner
    button : QPushButton
        Hidden by its owner when it no longer applies.
    refuse : callable, optional
        Whether the runner has something more important to do.
    """

    def __init__(
        self,
        layers: LayerList,
        runner: JobRunner,
        button: QPushButton,
        refuse: Callable[[], bool] = lambda: False,
    ) -> None:
        self._layers, self._runner, self._button = layers, runner, button
        self._refuse = refuse
        self._offered: list[Image] = []
        self._use: Callable[[list[Image]], None]
        button.setText(FILL_IN)
        button.setToolTip(FILL_IN_HELP)
        button.hide()
        button.clicked.connect(self._start)

    def offer(
        self, reason: str, layers: Iterable[Image | None], use: Callable[[list[Image]], None]
    ) -> None:
        """Show the button if this helps against `reason`, for which `layers` were refused.

        `use` is called with the layers, of which copies replace those that were filled in.
        """
        self._offered, self._use = [layer for layer in layers if layer is not None], use
        self._button.setVisible(NOT_FINITE in reason and all(map(_can_be_filled_in, self._offered)))

    def _start(self) -> None:
        offered = [layer for layer in self._offered if layer in self._layers]
        if self._refuse() or not offered or len(offered) < len(self._offered):
            return
        self._button.setEnabled(False)

        def advanced(steps: Sequence[FilledStep]) -> None:
            if steps[-1].images:
                pairs = zip(offered, steps[-1].images, strict=True)
                self._use([_add_filled(self._layers, *pair) for pair in pairs])

        self._runner.run(
            fill_in_steps([layer_pixels(layer) for layer in offered]),
            advanced,
            self._ended,
            title=FILL_IN,
        )

    def _ended(self, job: Job) -> None:
        self._button.setEnabled(True)
        if job.error is not None:
            show_warning(f"{FILL_IN}: {job.error}")


@dataclass(frozen=True, kw_only=True)
class FilledStep(Step):
    """Images whose pixels are filled in.

    Attributes
    ----------
    images : tuple of (..., Y, X) arrays
        In the last step only.
    """

    images: tuple[NDArray[Any], ...] = ()


def fill_in_steps(images: Sequence[NDArray[Any]]) -> Iterator[FilledStep]:
    """Interpolate the NaN and infinite pixels of images, frame by frame.

    Parameters
    ----------
    images : sequence of (..., Y, X) arrays
    """
    filled = tuple(np.array(image) for image in images)
    frames = [(image, index) for image in filled for index in np.ndindex(image.shape[:-2])]
    for number, (image, index) in enumerate(frames):
        yield FilledStep(fraction=number / len(frames), message="filling in")
        image[index] = filled_in(image[index])
    yield FilledStep(fraction=1, message="filled in", images=filled)


def filled_in(frame: NDArray[Any]) -> NDArray[Any]:
    """Return a copy of a frame whose NaN and infinite pixels are interpolated.

    Parameters
    ----------
    frame : (Y, X) float array
        With at least one finite pixel.

    Returns
    -------
    (Y, X) float array
        Linear between the pixels around a hole; beyond them, as at the border of the image,
        the nearest pixel.  Whole numbers if all the other pixels are.

    Examples
    --------
    >>> filled_in(np.array([[0.0, 1, 2], [1, np.nan, 3], [2, 3, np.inf]]))
    array([[0., 1., 2.],
           [1., 2., 3.],
           [2., 3., 3.]])
    """
    from scipy.interpolate import LinearNDInterpolator
    from scipy.ndimage import binary_dilation, distance_transform_edt
    from scipy.spatial import QhullError

    bad = ~np.isfinite(frame)
    filled = frame.copy()
    if not bad.any():
        return filled
    nearest = distance_transform_edt(bad, return_distances=False, return_indices=True)
    filled[bad] = frame[tuple(nearest)][bad]
    around = binary_dilation(bad) & ~bad
    try:
        linear = LinearNDInterpolator(np.argwhere(around), frame[around])(np.argwhere(bad))
    except QhullError:  # all of them on one line
        return filled
    if not (frame[~bad] % 1).any():  # counts stay whole numbers
        linear = np.rint(linear)
    known = np.isfinite(linear)
    filled[tuple(np.argwhere(bad)[known].T)] = linear[known]
    return filled


def _can_be_filled_in(layer: Image) -> bool:
    """Whether the pixels of a layer are in memory, and have something to interpolate from."""
    pixels = layer_pixels(layer)
    if not isinstance(pixels, np.ndarray):
        return False
    return pixels.dtype.kind != "f" or bool(np.isfinite(pixels).any(axis=(-2, -1)).all())


def _add_filled(layers: LayerList, layer: Image, pixels: NDArray[Any]) -> Image:
    """Add the filled pixels of `layer`, named and recorded as such; `layer` if none was filled."""
    from napari.layers import Image

    n_bad = int(np.count_nonzero(~np.isfinite(layer_pixels(layer))))
    if not n_bad:
        return layer
    made = Image(
        pixels,
        name=f"{layer.name}, {n_bad} pixel{'s' if n_bad > 1 else ''} filled in",
        metadata={
            **layer.metadata,
            FILLED_KEY: {"layer": layer.name, "pixels": n_bad, "method": "linear"},
        },
        **placement(layer, layer.ndim),
    )
    layers.append(made)
    return made
