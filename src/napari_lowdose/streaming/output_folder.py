"""Output folder of a stream.  An earlier result is kept until the new one is complete."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.io.ome_zarr import LEVEL
from napari_lowdose.io.tiff_flavours import RECORD_KEY
from napari_lowdose.io.zarr_create import create_image, open_to_write
from napari_lowdose.io.zarr_folder import is_array, own_attributes, update_record
from napari_lowdose.streaming.hashes import FrameHash, FrameHashes, hash_frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from napari_lowdose.noise2noise import Noise2NoiseModel

NETWORK = "network.safetensors"
_HASHES = "frame_hashes.txt"
_BESIDE, _OLD = ".napari-lowdose-part", ".napari-lowdose-old"  # unlikely to be used by others
_CHUNKS = re.compile(r"c|\d+(\.\d+)*")


class OutputFolder:
    """OME-Zarr group with one array, one chunk per frame, that is being written.

    If nothing exists at `path`, the group is written there.  Otherwise it is written beside the
    existing result and replaces it once it is complete, atomically if the system supports it.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    folder : Path
        Current location of the group.
    array : zarr.Array
        Frames that are not written yet are NaN.
    hashes : FrameHashes
        Hashes of the written frames.
    """

    array: Any
    hashes: FrameHashes

    def __init__(self, path: Path) -> None:
        self._given = path
        if not path.resolve().name or ":/" in path.as_posix()[2:]:
            raise ValueError(
                f"{path} is not a folder on this computer: choose a new one, for example OUT.zarr."
            )
        self.path = self.folder = path.resolve()
        self._beside = self.path.with_name(self.path.name + _BESIDE)
        self._old = self.path.with_name(self.path.name + _OLD)

    def find(self, work: str, shape: tuple[int, ...], *, resume: bool, overwrite: bool) -> bool:
        """Find an earlier run to resume, or check that a new result may be written.

        Parameters
        ----------
        work : str
            Identifier of engine, parameters and input; see `identity`.
        shape : tuple of int
        resume, overwrite : bool
            See `Stream`.

        Returns
        -------
        bool
            True if there is an earlier run to resume.

        Raises
        ------
        FileExistsError, ValueError
            If the path has other content that must not be replaced.
        """
        self._recover()
        nothing = is_empty(self.path)
        ours = result_attributes(self.path)
        if resume:
            for folder in (self.path, self._beside) if overwrite or nothing else (self.path,):
                if (result_attributes(folder) or {}).get("work") != work:
                    continue
                damage = self._open(folder, shape)
                if damage is None:
                    if nothing:
                        self._put_in_place()
                    return True
                if folder == self.path and not overwrite:
                    raise ValueError(f"{self._given} is damaged ({damage}): overwrite it.")
        self.folder = self.path
        if nothing:
            return False
        if not overwrite:
            if ours is None or not resume:
                raise FileExistsError(
                    f"{self._given} exists already; choose another output or overwrite it."
                )
            raise self.mismatch_error()
        if ours is None and not is_array(self.path):
            raise ValueError(
                f"{self._given} is neither a zarr array nor a result of napari-lowdose: it will "
                "not be replaced."
            )
        return False

    def mismatch_error(self) -> ValueError:
        """Return the error for an existing result of another input, engine or parameters."""
        return ValueError(
            f"{self._given} was begun with another input, engine or parameter: choose another "
            "output, or overwrite it."
        )

    def create(
        self,
        shape: tuple[int, ...],
        attributes: Mapping[str, Any],
        network: Noise2NoiseModel | None,
    ) -> None:
        """Create an empty result.  It appears at once, complete with metadata and network.

        Parameters
        ----------
        shape : tuple of int
        attributes : mapping
            Axes, scale, units and the attributes of this package.
        network : Noise2NoiseModel, optional
            Trained network to save with the result.
        """
        # Beside the final path, so that a kill leaves no folder without metadata there.
        remove_folder(self._beside)
        self._beside.mkdir()
        try:
            if network is not None:
                network.save(self._beside / NETWORK)
                ours = {**attributes[RECORD_KEY], "network": _hash_file(self._beside / NETWORK)}
                attributes = {**attributes, RECORD_KEY: ours}
            create_image(self._beside, shape, np.float32, attributes, fill_value=np.nan)
        except BaseException:
            remove_folder(self._beside)
            raise
        if (damage := self._open(self._beside, shape)) is not None:
            remove_folder(self._beside)
            raise OSError(f"{self._given} cannot be written: {damage}.")
        if is_empty(self.path):
            self._put_in_place()

    def write(
        self, number: int, index: tuple[int, ...], image: NDArray[np.float32], made_from: str
    ) -> None:
        """Write a frame, then its hashes, which mark it as written.

        Parameters
        ----------
        number : int
        index : tuple of int
            Index of the frame along the leading axes.
        image : (Y, X) array
        made_from : str
            Hash of the input.

        Raises
        ------
        OSError
            If the frame cannot be written, for example because the disk is full.
        """
        try:
            # In this order: after a kill in between, the frame is denoised again.
            self.array[index] = image
            self.hashes.add(number, FrameHash(made_from, hash_frame(image)))
        except OSError as error:
            raise OSError(
                f"A frame cannot be written into {self.folder} ({error.strerror or error}): the "
                "finished frames are kept, and the same run continues after them."
            ) from error

    @property
    def finished(self) -> bool:
        """True if the result is marked as finished."""
        return (result_attributes(self.folder) or {}).get("finished") is True

    def has_network(self) -> bool:
        """Return True if the network of the result is saved and unchanged."""
        ours = result_attributes(self.folder) or {}
        try:
            return bool(ours["network"] == _hash_file(self.folder / NETWORK))
        except (KeyError, OSError):
            return False

    def reopen(self) -> None:
        """Mark a finished result as unfinished, because frames are damaged."""
        update_record(self.folder, finished=False)

    def finish(self, history: list[Any]) -> None:
        """Mark the result as finished, and move it into place."""
        remove_partial_chunks(self.folder)
        update_record(self.folder, finished=True, history=history)
        self.take_place()

    def take_place(self) -> None:
        """Replace the earlier result, if the new one was written beside it."""
        if self.folder == self._beside:
            _copy_foreign_files(self.path, self._beside)
            self._replace()

    def discard(self) -> None:
        """Delete the unfinished result."""
        if self.folder == self.path:  # rename first, so that a kill leaves no partial folder there
            self.path.rename(self._beside)
        remove_folder(self._beside)

    def _open(self, folder: Path, shape: tuple[int, ...]) -> str | None:
        """Open a folder as the result, or return the reason why that is not possible."""
        try:
            array = open_to_write(folder)
        except Exception as error:  # zarr raises various errors
            return f"its array cannot be opened: {' '.join(str(error).split())}"
        chunks = (*(1,) * (len(shape) - 2), *shape[-2:])
        if array.shape != shape or array.chunks != chunks or array.dtype != np.float32:
            return f"its array has another shape, {array.shape}"
        self.folder, self.array = folder, array
        self.hashes = FrameHashes(folder / LEVEL / _HASHES)
        return None

    def _recover(self) -> None:
        """Complete a replacement that was interrupted by a kill."""
        if not self.path.exists() and self._old.exists():
            self._old.rename(self.path)
        remove_folder(self._old)

    def _put_in_place(self) -> None:
        if self.folder != self._beside:
            return
        if self.path.exists():  # an empty folder
            self.path.rmdir()
        self._beside.rename(self.path)
        self._moved(self.path)

    def _replace(self) -> None:
        """Rename the new result to the name of the old one, and delete the old one."""
        try:
            swapped = swap(self._beside, self.path)
            if not swapped:  # for a moment nothing is at the path; `_recover` repairs a kill
                self.path.rename(self._old)
                try:
                    self._beside.rename(self.path)
                except BaseException:
                    self._old.rename(self.path)
                    raise
        except OSError as error:
            raise OSError(
                f"{self._given} cannot be replaced ({error.strerror}): the new result is complete, "
                f"in {self._beside}."
            ) from error
        self._moved(self.path)
        with suppress(OSError):  # the next stream tries again to delete it
            if swapped:
                self._beside.rename(self._old)
            remove_folder(self._old)

    def _moved(self, folder: Path) -> None:
        self.folder = folder
        self.array = open_to_write(folder)
        self.hashes = FrameHashes(folder / LEVEL / _HASHES)


def result_attributes(folder: Path) -> dict[str, Any] | None:
    """Return the attributes of this package; None if the folder is not one of its results.

    Results of earlier versions are recognised, too.
    """
    ours = own_attributes(folder)
    return ours if ours is not None and "work" in ours else None


def unfinished_folder(path: Path) -> Path | None:
    """Return the folder with the finished frames of an interrupted stream into `path`, or None."""
    folder = OutputFolder(path)
    for each in (folder._beside, folder.path):
        ours = result_attributes(each)
        if ours is not None and ours.get("finished") is not True:
            return each
    return None


def is_empty(path: Path) -> bool:
    """Return True if nothing exists at a path, or an empty folder."""
    return not path.exists() or (path.is_dir() and next(path.iterdir(), None) is None)


def _foreign_files(folder: Path) -> Iterator[Path]:
    """Yield the files and folders in a result or array that are not part of it."""
    own = {"zarr.json", ".zarray", ".zattrs", NETWORK, "finished_frames.txt"}
    group = result_attributes(folder) is not None and not is_array(folder)
    for each in folder.iterdir():
        chunks = each.name == LEVEL if group else _CHUNKS.fullmatch(each.name)
        if each.name not in own and not chunks:
            yield each


def _copy_foreign_files(old: Path, new: Path) -> None:
    """Link or copy files that the user added to the old folder into the new one."""
    for each in _foreign_files(old):
        if each.is_dir() and not each.is_symlink():
            shutil.copytree(
                each, new / each.name, symlinks=True, copy_function=_link, dirs_exist_ok=True
            )
        else:
            _link(each, new / each.name)


def _link(source: str | Path, target: str | Path) -> None:
    Path(target).unlink(missing_ok=True)
    try:
        os.link(source, target, follow_symlinks=False)
    except (OSError, NotImplementedError):  # hard links are not supported
        shutil.copy2(source, target, follow_symlinks=False)


def remove_partial_chunks(folder: Path) -> None:
    """Delete the temporary files that zarr has left in a killed run."""
    for left in (folder / LEVEL).rglob("*.partial"):
        left.unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Delete a folder, metadata last, so that a partly deleted result is still recognised."""
    if not folder.exists():
        return
    for each in sorted(folder.iterdir(), key=lambda each: each.name == "zarr.json"):
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink(missing_ok=True)
    folder.rmdir()


def _hash_file(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_LINUX_HERE, _LINUX_EXCHANGE = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
_MACOS_SWAP = 2  # RENAME_SWAP


def swap(first: Path, second: Path) -> bool:
    """Exchange the names of two folders on the same file system atomically.

    At no time is one of the names missing.

    Parameters
    ----------
    first, second : Path

    Returns
    -------
    bool
        False, with nothing changed, if the operating system or file system does not support it.
    """
    one, other = os.fsencode(first), os.fsencode(second)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            failed = library.renamex_np(one, other, _MACOS_SWAP)
        else:
            failed = library.renameat2(_LINUX_HERE, one, _LINUX_HERE, other, _LINUX_EXCHANGE)
    except (AttributeError, OSError, TypeError):  # Windows, or an old C library
        return False
    return bool(failed == 0)
