"""A folder that STEM software or the program of a camera is filling."""

from __future__ import annotations

import math
import os
import re
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.frames import frame_index
from napari_lowdose.io.readers import is_image, read_image
from napari_lowdose.io.tiff import TIFF_MAGIC, first_bytes
from napari_lowdose.io.tiff_flavours import TIFF_SUFFIXES
from napari_lowdose.io.zarr_folder import is_zarr, own_attributes
from napari_lowdose.live.growing_stack import StackSource
from napari_lowdose.live.polled_source import PolledSource, name_of_frame, reason
from napari_lowdose.warned import warnings_to

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lowdose.io.tiff import ImageFile

_HIDDEN = (".", "~")
_TEMPORARY = (".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload")

Signature = tuple[int, int]  # size in bytes, time of the last change in ns


class FolderSource(PolledSource):
    """Frames of the image files in a folder, each once, as soon as its file is whole.

    A file is whole if its size and its time of change are those of the last look, and it can be
    read.  The files that are whole at a look come in the order of the numbers in their names, img2
    before img10; one that is late comes late.  A file with several frames gives all of them, also
    those that are added to it later.  A file that is written again with the same name gives no
    frame again.

    Hidden files, those with a temporary name such as ``.part``, and folders are left out.

    Parameters
    ----------
    path : path
    **options
        As for `PolledSource`.  With ``existing="skip"``, a file that changes after the start is
        new.

    Raises
    ------
    ValueError
        If `path` is a file, or a parameter has an impossible value.

    Examples
    --------
    >>> import tempfile, tifffile
    >>> from napari_lowdose import denoise_live
    >>> folder, rng = Path(tempfile.mkdtemp()), np.random.default_rng(0)
    >>> scene = 9 + 6 * np.cos(np.arange(64) / 2)
    >>> for name in ("img10.tif", "img2.tif"):
    ...     tifffile.imwrite(folder / name, rng.poisson(scene, (64, 64)).astype("uint16"))
    >>> source = FolderSource(folder, poll=0.02, silence=0.1)
    >>> [step.frame.name for step in denoise_live(source)]
    ['img2.tif', 'img10.tif']
    """

    def __init__(self, path: str | os.PathLike[str], **options: Any) -> None:
        super().__init__(path, **options)
        if self.path.is_file():
            raise ValueError(f"{self.path} is a file, not a folder: source_for reads both.")
        self._files: dict[str, _File] = {}
        self._told: set[str] = set()  # names of zarr folders

    def _look(self) -> bool:
        begun = time.monotonic()
        found = self._signatures()
        if self._is_first_look:
            self._leave_out(found)
        whole, changed = self._compare(found)
        self._took = time.monotonic() - begun
        for name in sorted(whole, key=natural_order):
            if self._is_stopped:
                break
            changed |= self._read(name)
        return changed

    def _give_up(self) -> None:
        for name, file in self._files.items():
            if file.error:
                self._tell_of(name, file.error, given_up=True)

    def _signatures(self) -> dict[str, Signature]:
        """Return the signatures of the files in the folder."""
        found = {}
        with os.scandir(self.path) as entries:
            for entry in entries:
                if entry.name.startswith(_HIDDEN) or entry.name.lower().endswith(_TEMPORARY):
                    continue
                try:
                    if entry.is_file():
                        found[entry.name] = self._signature(entry)
                    elif entry.is_dir():
                        self._tell_of_zarr(Path(entry.path))
                except FileNotFoundError:  # it was removed just now
                    continue
        return found

    def _signature(self, entry: os.DirEntry[str]) -> Signature:
        signature = _signature_of(entry.stat())
        file = self._files.get(entry.name)
        if os.name == "nt" and (file is None or file.done != signature):
            # Windows lists a file that is being written as it was when it was opened
            signature = _signature_of(os.stat(entry.path))
        return signature

    def _leave_out(self, found: dict[str, Signature]) -> None:
        """Note the files that are done, or that are not wanted because they exist already."""
        newest = None
        if self._existing == "newest":
            by_time = sorted(found, key=lambda name: (found[name][1], natural_order(name)))
            newest = next((n for n in reversed(by_time) if is_image(self.path / n)), None)
        for name, signature in found.items():
            if name in self._done:  # a single frame, which others may follow if the file is newer
                is_old = signature[1] <= self._done[name] * 1e9
                self._files[name] = _File(signature, signature if is_old else None, n_frames=1)
            elif self._existing != "denoise" and name != newest:
                self._files[name] = _File(signature, signature)

    def _compare(self, found: dict[str, Signature]) -> tuple[list[str], bool]:
        """Return the files to read, which are as they were at the last look; whether any is not."""
        whole, changed = [], False
        for name, signature in found.items():
            file = self._files.get(name)
            if file is None or file.signature != signature:
                is_wanted = is_image(self.path / name)
                n_frames = 0 if file is None else file.n_frames
                self._files[name] = _File(signature, None if is_wanted else signature, n_frames)
                changed |= is_wanted
            elif file.done != signature:
                whole.append(name)
        return whole, changed

    def _read(self, name: str) -> bool:
        """Put the frames of a file that are new; return whether there was one."""
        file, n_before = self._files[name], self._files[name].n_frames
        try:
            with warnings_to(partial(self._tell_of, name)):
                image = read_image(self.path / name)
            if _signature_of(os.stat(self.path / name)) != file.signature:
                return False  # it has changed meanwhile
            n = math.prod(image.pixels.shape[:-2])
            for k in range(n_before, n):
                name_of_this = name if n == 1 else name_of_frame(name, k)
                if name_of_this not in self._done:
                    self.pixel_size, self.unit = image.pixel_size, image.unit
                    self._put(_pixels(image, k), name_of_this)
                if self._is_stopped:
                    return True
                file.n_frames = k + 1
        except Exception as error:  # readers of any plugin; the other files go on
            if isinstance(error, OSError):
                self.path.stat()  # raises if the whole drive is gone
            self._note_failure(name, file, reason(error))
        else:
            file.done, file.error = file.signature, ""
        return file.n_frames > n_before

    def _note_failure(self, name: str, file: _File, error: str) -> None:
        """Try the file again at the next look, unless it has not changed for long."""
        now = time.monotonic()
        file.failed = file.failed or now
        file.error = error
        if now - file.failed > self._patience:
            self._tell_of(name, error, given_up=True)
            file.done, file.error = file.signature, ""

    def _tell_of(self, name: str, sentence: str, *, given_up: bool = False) -> None:
        self._tell(f"{self.path / name}: {sentence}", given_up=given_up)

    def _tell_of_zarr(self, path: Path) -> None:
        if path.name not in self._told and is_zarr(path):
            self._told.add(path.name)
            if own_attributes(path) is None:  # results may well be in this folder
                self._tell(f"{path}: left out, as it is a folder; watch it by itself.")


@dataclass
class _File:
    """What is known of a file.

    Attributes
    ----------
    signature : tuple
        At the last look.
    done : tuple or None
        Signature with which it was read, or is not to be read.
    n_frames : int
        Number of its frames that were put.
    failed : float
        Time at which it could not be read first, with this signature.
    error : str
        Why.
    """

    signature: Signature
    done: Signature | None = None
    n_frames: int = 0
    failed: float = 0.0
    error: str = ""


def source_for(path: str | os.PathLike[str], **options: Any) -> PolledSource:
    """Return the source of a folder that is being filled, or of a stack that grows.

    Parameters
    ----------
    path : path
        Folder of images, a ``.zarr``, or a TIFF.
    **options
        As for `PolledSource`.

    Returns
    -------
    FolderSource or StackSource

    Raises
    ------
    ValueError
        If `path` is any other file, or a parameter has an impossible value.

    Examples
    --------
    >>> type(source_for("scans")).__name__, type(source_for("scan.tif")).__name__
    ('FolderSource', 'StackSource')
    """
    path = Path(path)
    is_stack = is_zarr(path) or path.suffix.lower() in (*TIFF_SUFFIXES, ".zarr")
    if path.is_file() and not is_stack:
        if not first_bytes(path).startswith(TIFF_MAGIC):
            raise ValueError(f"{path} is neither a folder, a TIFF nor a .zarr.")
        is_stack = True
    return StackSource(path, **options) if is_stack else FolderSource(path, **options)


def natural_order(name: str) -> tuple[Any, ...]:
    """Return a key that sorts names by the numbers in them.

    Examples
    --------
    >>> sorted(["img10.tif", "IMG1.tif", "img2.tif"], key=natural_order)
    ['IMG1.tif', 'img2.tif', 'img10.tif']
    """
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if k % 2 else part for k, part in enumerate(parts)], name


def _signature_of(found: os.stat_result) -> Signature:
    return found.st_size, found.st_mtime_ns


def _pixels(image: ImageFile, number: int) -> NDArray[Any]:
    """Read a frame into memory."""
    pixels = image.pixels
    shape = pixels.shape[-2:]
    if isinstance(pixels, np.memmap):  # reading it from a drive that vanishes ends the process
        size = math.prod(shape)
        start = pixels.offset + number * size * pixels.itemsize
        return np.fromfile(image.source, pixels.dtype, size, offset=start).reshape(shape)
    return np.array(pixels[frame_index(number, pixels.shape[:-2])])
