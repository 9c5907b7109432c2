"""A stack, TIFF or zarr, that the program of a microscope or camera is writing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from napari_lowdose.error_line import one_line
from napari_lowdose.io.growing_reader import open_growing
from napari_lowdose.live.polled_source import PolledSource, name_of_frame

if TYPE_CHECKING:
    import os


class StackSource(PolledSource):
    """Frames of a TIFF or zarr array that grows, each once, as soon as it is complete.

    A TIFF grows page by page, or has all frames behind one page as ImageJ's have.  A zarr array
    grows along its first axis, or has its final length and is being filled.  If the stack is
    begun anew, its frames come from the first one on.

    Parameters
    ----------
    path : path
        ``.zarr``, or a TIFF.
    **options
        As for `PolledSource`.

    Examples
    --------
    >>> import tempfile, pathlib, numpy as np, tifffile
    >>> from napari_lowdose import denoise_live
    >>> path, rng = pathlib.Path(tempfile.mkdtemp(), "scan.tif"), np.random.default_rng(0)
    >>> scan = rng.poisson(9 + 6 * np.cos(np.arange(64) / 2), (2, 64, 64)).astype("uint16")
    >>> tifffile.imwrite(path, scan, photometric="minisblack")
    >>> source = StackSource(path, poll=0.02, silence=0.1)
    >>> [step.frame.name for step in denoise_live(source)]
    ['scan.tif frame 1', 'scan.tif frame 2']
    """

    def __init__(self, path: str | os.PathLike[str], **options: Any) -> None:
        super().__init__(path, **options)
        self._reader = open_growing(self.path)
        self._n = 0  # frames that were put or left out
        self._n_complete = 0
        self._since = time.monotonic()  # when the stack has changed
        self._error = ""  # why no more can be read now

    def _look(self) -> bool:
        n, signature = self._n, self._reader.signature
        try:
            self._count()
            self._put_frames()
        except ValueError as error:  # what it is about may not be complete
            self._error = one_line(error)
        else:
            self._error = ""
        changed = self._n != n or self._reader.signature != signature
        now = time.monotonic()
        if changed:
            self._since = now
        elif now - self._since > self._patience:
            self._give_up()
            self._n = min(self._n + 1, self._n_complete)
            self._since = now
        return changed

    def _give_up(self) -> None:
        if self._error:
            self._tell(f"{self.path}: {self._error}", given_up=True)

    def _count(self) -> None:
        begun = time.monotonic()
        try:
            self._n_complete = self._reader.count()
        finally:
            self._took = time.monotonic() - begun
        self.pixel_size, self.unit = self._reader.pixel_size, self._reader.unit
        if self._reader.begun_anew and self._n:
            self._tell(f"{self.path} was begun anew: its frames come from the first one on.")
            self._n = 0
        if self._is_first_look and self._existing != "denoise":
            # Again, because at the first time the last frame may seem to go on
            self._n_complete = self._reader.count()
            self._n = max(0, self._n_complete - (self._existing == "newest"))

    def _put_frames(self) -> None:
        while self._n < self._n_complete and not self._is_stopped:
            name = name_of_frame(self.path.name, self._n)
            if name not in self._done:
                try:
                    pixels = self._reader.read(self._n)
                except ValueError as error:
                    raise ValueError(f"frame {self._n + 1}: {error}") from error
                self._put(pixels, name)
            self._n += 1
