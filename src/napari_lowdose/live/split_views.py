"""Frames of a beamsplitter: denoise both views, and average them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from napari_lowdose.engine import Engine, Step
from napari_lowdose.pairs.layout_drift import warn_if_drifted

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numpy.typing import NDArray

    from napari_lowdose.pairs.split_layout import SplitLayout

RADIUS = 8  # of the cubic spline that shifts the second result, pixels


@dataclass(frozen=True, eq=False)
class SplitViews(Engine):
    """Denoise the two views of a beamsplitter frame; the result is their mean.

    The result is smaller than the frame: the field common to both views, in the place, the units
    and the brightness of the first.

    Parameters
    ----------
    engine : Engine
        Method for single images: `Reucid`, or a trained network.
    layout : SplitLayout
        From `split_frame`, or ``SplitLayout.load("splitter.json")``.

    Raises
    ------
    ValueError
        If the engine takes a pair.

    Examples
    --------
    >>> from napari_lowdose import Reucid, SplitViews, denoise_live, samples, split_frame
    >>> movie, _ = samples.beamsplitter_movie(n_frames=3)
    >>> first, _, layout = split_frame(movie)
    >>> views = SplitViews(Reucid(patch_size=9), layout)
    >>> [step.image.shape == first[0].shape for step in denoise_live(movie, views)]
    [True, True, True]
    """

    takes = "image"

    engine: Engine
    layout: SplitLayout
    for_second: Engine | None = None  # what a live engine has found in one view is not the other's
    _compared: list[bool] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        if self.engine.takes == "pair":
            raise ValueError(
                "each view of a beamsplitter is denoised by itself: give Reucid() or a trained "
                "network."
            )
        object.__setattr__(self, "title", self.engine.title)  # the dataclass is frozen

    @property
    def origin(self) -> tuple[int, int]:
        """Row and column of the frame at which the result begins."""
        return self.layout.regions[0][0], self.layout.regions[0][2]

    @property
    def model(self) -> Any:
        """The trained network, if the engine is one."""
        return self.engine.model

    def for_live(self) -> SplitViews:
        """Return the engine for the frames of a running source; see `Engine.for_live`."""
        return SplitViews(self.engine.for_live(), self.layout, self.engine.for_live())

    def frame_steps(self, *frames: NDArray[Any]) -> Iterator[Step]:
        """Denoise a frame.

        Parameters
        ----------
        *frames : (Y, X) array
            One frame of the camera.

        Yields
        ------
        Step
            The last one has the mean of both views as its `image`.

        Raises
        ------
        ValueError
            If the size of the frame is not that of the layout, or a view cannot be denoised.

        Warns
        -----
        UserWarning
            If the views of the first frame have drifted since the layout was measured.
        """
        first, second = self.split(frames[0])
        if not self._compared:
            self._compared.append(True)
            warn_if_drifted(self.layout, frames[0])
        one = yield from _result(self.engine, first, 0.0, 0.5)
        other = yield from _result(self.for_second or self.engine, second, 0.5, 1.0)
        if self.layout.affine is not None:
            mean = self.layout.view_map.mean(one, other)
        else:
            mean = (one + _shifted(other, [-part for part in self.layout.fraction])) / np.float32(2)
        yield Step(fraction=1.0, message="mean of both views", image=mean)

    def split(self, frame: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Return the two views of a frame, the second in the units of the first."""
        first, second = self.layout.split(frame)
        # In float64: float32 cannot hold every int32
        matched = (second.astype(np.float64) - self.layout.offset) / self.layout.gain
        return first, matched.astype(np.float32)

    def constant_frame(self, *frames: NDArray[Any]) -> NDArray[np.float32]:
        """Return the first view of a constant frame."""
        return np.asarray(self.layout.split(frames[0])[0], np.float32)

    def about(self) -> dict[str, Any]:
        """Return name, parameters and versions of the engine, and the layout."""
        return {**self.engine.about(), "layout": asdict(self.layout)}


def _result(
    engine: Engine, view: NDArray[Any], start: float, end: float
) -> Generator[Step, None, NDArray[np.float32]]:
    image = None
    for step in engine.frame_steps(view):
        image = step.image
        yield Step(fraction=start + step.fraction * (end - start), message=step.message)
    assert image is not None  # the last step of `Engine.frame_steps` has an image
    return image


def _shifted(image: NDArray[np.float32], shift: list[float]) -> NDArray[np.float32]:
    """Shift a denoised image, which is smooth, by less than a pixel with a cubic spline."""
    impulse = np.zeros(2 * RADIUS + 1, np.float32)
    impulse[RADIUS] = 1
    for axis, along in enumerate(shift):
        # One axis after the other: ten times as fast as `scipy.ndimage.shift` of an image
        kernel = scipy.ndimage.shift(impulse, along)
        image = scipy.ndimage.convolve1d(image, kernel / kernel.sum(), axis, mode="nearest")
    return image
