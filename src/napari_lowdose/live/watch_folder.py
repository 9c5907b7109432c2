"""Denoise every frame of a folder that is being filled, or of a stack that grows, into a zarr."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_lowdose.io.input_files import is_within
from napari_lowdose.io.ome_zarr import unit_symbol
from napari_lowdose.io.output_files import ZARR
from napari_lowdose.io.zarr_folder import is_zarr, own_attributes, read_zarr
from napari_lowdose.live.folder import source_for
from napari_lowdose.live.growing_zarr import GrowingZarr, check_free
from napari_lowdose.live.live_run import LiveRun
from napari_lowdose.live.polled_source import PATIENCE, POLL
from napari_lowdose.reucid import Reucid
from napari_lowdose.streaming.hashes import engine_identity
from napari_lowdose.streaming.output_folder import is_empty

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Generator

    from napari_lowdose.engine import Engine
    from napari_lowdose.live.feed import LiveFrame
    from napari_lowdose.live.live_run import LiveStep
    from napari_lowdose.live.polled_source import Notice

_TOLERANCE = 1e-3  # relative, of the pixel sizes of files from one magnification
_WATCHED = "watched"  # entry of the record with the source and the engine of the result


def watch_folder(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    engine: Engine | None = None,
    *,
    silence: float | None = None,
    poll: float = POLL,
    patience: float = PATIENCE,
    independent: bool = True,
    tell: Callable[[Notice], object] | None = None,
) -> Generator[LiveStep, None, None]:
    """Denoise every frame that comes into a folder, or into a growing stack, in order.

    Each result is appended to an OME-Zarr movie (T, Y, X), which may be read meanwhile, and which
    names the file of each frame.  The same call continues after an interruption, or after the
    process was killed: no frame is denoised twice, and none is left out.

    Parameters
    ----------
    path : path
        Folder of images; or a ``.zarr`` or a TIFF to which frames are added.
    out : path
        Folder of the result, ``.zarr``; it may be in the watched folder.
    engine : Engine, optional
        Method for single images: by default ``Reucid()``.
    silence : float, optional
        Time without a new frame after which it ends, seconds; by default never.
    poll : float
        Time between two looks for new frames, seconds.
    patience : float
        Time without a change after which a file that cannot be read is given up, seconds.
    independent : bool
        If True, each frame is denoised by itself, as by `denoise`.  If False, what was found in
        the frames before is used: many times as fast, and the result depends a little on them.
    tell : callable, optional
        Called with each `Notice` of the source in another thread; by default it becomes a warning.

    Yields
    ------
    LiveStep
        After its image is written.  `image` is None if the frame could not be denoised, or does
        not fit the movie, and `message` says why; it is tried again by the next call.

    Raises
    ------
    ValueError
        If `out` has another extension, is not a movie of this folder and engine, or contains what
        is watched.
    OSError
        If `out` cannot be written, or another process is writing there.

    Examples
    --------
    >>> import tempfile, tifffile
    >>> from napari_lowdose import watch_folder
    >>> folder, rng = Path(tempfile.mkdtemp()), np.random.default_rng(0)
    >>> scene = 9 + 6 * np.cos(np.arange(64) / 2)
    >>> for name in ("img1.tif", "img2.tif"):
    ...     tifffile.imwrite(folder / name, rng.poisson(scene, (64, 64)).astype("uint16"))
    >>> for step in watch_folder(folder, folder / "clean.zarr", poll=0.02, silence=0.1):
    ...     print(step.frame.name, step.image.shape)
    img1.tif (64, 64)
    img2.tif (64, 64)
    """
    engine = Reucid() if engine is None else engine
    with _Result(Path(path), Path(out), engine, independent) as result:
        source = source_for(
            path, silence=silence, poll=poll, patience=patience, done=result.done, tell=tell
        )
        for step in LiveRun(source, engine, newest=False, n_buffer=1, independent=independent):
            yield result.append(step)


class _Result:
    """Movie of the denoised frames; it is created with the first one.

    Attributes
    ----------
    done : dict
        Names of the frames that an earlier call has written, and when their files were read.
    """

    def __init__(self, path: Path, out: Path, engine: Engine, independent: bool) -> None:
        if out.suffix != ZARR:
            raise ValueError(f"{out}: the result of watching is a movie; use the extension .zarr")
        if is_within(path, out) or (is_zarr(path) and is_within(out, path)):
            raise ValueError(f"{out}: the result would replace the input; choose another output.")
        self._out = out
        origin = {
            "path": str(path.resolve()),
            "engine": engine_identity(engine),
            "independent": independent,
        }
        self._record = {"source": path.name, **engine.about(), _WATCHED: origin}
        self.done: dict[str, float] = {}
        self._movie: GrowingZarr | None = None
        self._pixel_size: tuple[float, float] | None = None
        self._unit: str | None = None
        if is_empty(out):
            check_free(out)
        else:
            self._check_origin()
            self._movie = GrowingZarr.open(out)
            self.done = {frame.name: frame.time for frame in self._movie.frames}
            if self.done:
                image = read_zarr(out)
                self._pixel_size, self._unit = image.pixel_size, image.unit
            else:  # killed before the first frame: it may have another shape now
                self._movie.close()  # deletes it
                self._movie = None

    def __enter__(self) -> _Result:
        return self

    def __exit__(self, *_: object) -> None:
        if self._movie is not None:
            self._movie.close()

    def append(self, step: LiveStep) -> LiveStep:
        """Write the image of a step; return a step without it if it does not fit the movie."""
        if step.image is None:
            return step
        frame = step.frame
        if self._movie is None:
            self._pixel_size, self._unit = frame.pixel_size, frame.unit
            self._movie = GrowingZarr.create(
                self._out,
                step.image.shape,
                np.float32,
                pixel_size=frame.pixel_size,
                unit=frame.unit,
                history=[self._record],
            )
        if misfit := self._misfit(step.image.shape, frame):
            return replace(step, image=None, message=misfit)
        read = time.time() - (time.perf_counter() - frame.arrived)
        self._movie.append(step.image, at=read, name=frame.name)
        return step

    def _misfit(self, shape: tuple[int, ...], frame: LiveFrame) -> str:
        """Return why a frame cannot be part of the movie; empty if it can."""
        assert self._movie is not None
        there = self._movie.shape
        if shape != there:
            kinds = [f"{height} x {width} pixels" for height, width in (shape, there)]
        elif frame.pixel_size and self._pixel_size and not self._has_pixel_size_of(frame):
            sizes = ((frame.pixel_size, frame.unit), (self._pixel_size, self._unit))
            kinds = [f"pixels of {y:.4g} x {x:.4g} {unit}" for (y, x), unit in sizes]
        else:
            return ""
        return (
            f"it has {kinds[0]}, and the frames in {self._out.name} have {kinds[1]}: watch a "
            "folder of such files into another output."
        )

    def _has_pixel_size_of(self, frame: LiveFrame) -> bool:
        one, other = np.array([frame.pixel_size, self._pixel_size])
        same_unit = unit_symbol(frame.unit) == unit_symbol(self._unit)
        return same_unit and np.allclose(one, other, rtol=_TOLERANCE, atol=0)

    def _check_origin(self) -> None:
        """Raise if what exists there was not begun by the same call."""
        history = (own_attributes(self._out) or {}).get("history")
        last = history[-1] if history else {}
        origin = last.get(_WATCHED)
        if not isinstance(origin, dict):
            raise ValueError(
                f"{self._out} exists already, and was not made by watching a folder: choose "
                "another output."
            )
        ours = self._record[_WATCHED]
        if origin["path"] != ours["path"]:
            raise ValueError(
                f"{self._out} was begun with the frames of {origin['path']}: choose another output."
            )
        if origin != ours:
            raise ValueError(
                f"{self._out} was begun with another engine or parameter ({last.get('engine')}): "
                "choose another output."
            )
