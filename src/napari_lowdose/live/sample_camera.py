"""A camera without hardware, to try out a live view."""

from __future__ import annotations

from napari_lowdose.live.feed import IterableSource
from napari_lowdose.samples import camera_frames
from napari_lowdose.samples.camera import RATE
from napari_lowdose.samples.nuclei import PIXEL_SIZE


class SampleCamera(IterableSource):
    """The frames of `napari_lowdose.samples.camera_frames`, with their pixel size.

    Parameters
    ----------
    rate : float
        Frames per second.
    """

    def __init__(self, rate: float = RATE) -> None:
        super().__init__(camera_frames(rate))
        self.pixel_size, self.unit = (PIXEL_SIZE, PIXEL_SIZE), "µm"
