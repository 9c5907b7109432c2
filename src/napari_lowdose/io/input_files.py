"""Which files an array is read from, however it was made of them."""

from __future__ import annotations

import gc
import os
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.io.zarr_folder import is_array
from napari_lowdose.io.zarr_frames import ZarrFrames

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST = 2_000_000  # objects that are looked at: the graph of a very long movie has fewer
_LONGEST = 4096  # characters of a path


def in_each_other(image: Any, output: Path) -> bool:
    """Whether an array is read from what is in a folder, or is a folder with the other in it.

    Parameters
    ----------
    image : array
        NumPy (mapped into memory), zarr, HDF5, or dask on any of them: all that its graph holds
        is looked at, functions and names of files included.
    output : Path

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> mapped = np.memmap(folder / "a.raw", np.uint8, "w+", shape=(4, 4))
    >>> in_each_other(mapped[1:].T, folder), in_each_other(np.zeros(3), folder)
    (True, False)
    """
    return any(
        is_within(path, output) or (is_array(path) and is_within(output, path))
        for path in _files(image)
    )


def missing_chunks(image: Any) -> str | None:
    """Return a sentence if chunks of the zarr arrays behind a dask array are missing.

    Zarr reads a chunk that is missing as its fill value, and dask does not notice.  `ZarrFrames`
    notices by itself.

    Parameters
    ----------
    image : dask array
    """
    import zarr

    for path in _files(image, except_of=(ZarrFrames,)):
        if not is_array(path):
            continue
        array = zarr.open_array(path, mode="r")
        missing = array.nchunks - array.nchunks_initialized
        if missing > 0:
            return (
                f"{missing} of {array.nchunks} chunks of {path.name} are missing and read as "
                f"{array.fill_value}: copy the array again, unless it was written "
                "without its empty chunks."
            )
    return None


def is_within(path: Path, folder: Path) -> bool:
    """Whether a file is a folder, or lies in it, whatever links lead there."""
    try:
        path = path.resolve()
        folders = (path, *path.parents)
        return any(each.exists() and each.samefile(folder) for each in folders)
    except (OSError, RuntimeError, ValueError):  # no path, or one that may not be looked at
        return False


def _files(image: Any, except_of: tuple[type, ...] = ()) -> Iterator[Path]:
    """Yield the files that can be reached from an array, those of a graph's strings included."""
    seen: dict[int, Any] = {}  # keeps what is made on the way, or its number would be used again
    todo = [image]
    while todo and len(seen) < _MOST:
        item = todo.pop()
        if id(item) in seen or isinstance(
            item, (type, types.ModuleType, types.FrameType, *except_of)
        ):
            continue
        seen[id(item)] = item
        if isinstance(item, (str, os.PathLike)):
            yield from _as_path(item)
        elif isinstance(item, np.ndarray):
            yield from _as_path(getattr(item, "filename", None))
            todo.append(item.base)
            todo += list(item.flat) if item.dtype.hasobject else []
        elif isinstance(item, types.FunctionType):
            todo += [item.__closure__, item.__defaults__, item.__kwdefaults__]
            todo += [each for each in item.__code__.co_consts if isinstance(each, str)]
            # Of what is everyone's only arrays: functions would lead everywhere
            used = (item.__globals__.get(name) for name in item.__code__.co_names)
            todo += [each for each in used if hasattr(each, "shape")]
        elif hasattr(item, "__dask_graph__"):
            todo.append(item.__dask_graph__())
        elif (store := getattr(item, "store", None)) is not None:  # zarr
            yield from _of_store(store, getattr(item, "path", ""))
        elif hasattr(item, "file") and hasattr(item, "id"):  # HDF5
            yield from _as_path(getattr(item.file, "filename", None))
        else:
            todo += gc.get_referents(item)


def _of_store(store: Any, inside: Any) -> Iterator[Path]:
    while hasattr(store, "_store"):  # wrapped
        store = store._store
    root = getattr(store, "root", None) or getattr(store, "path", None)  # a folder; fsspec, zip
    for path in _as_path(root, anything=True):
        yield path / str(inside) if path.is_dir() else path


def _as_path(item: Any, anything: bool = False) -> Iterator[Path]:
    if not isinstance(item, (str, os.PathLike)):
        return
    text = os.fspath(item)
    if not isinstance(text, str) or not 0 < len(text) < _LONGEST or "\0" in text:
        return
    text = text.removeprefix("file://")
    if anything or os.path.lexists(text):
        yield Path(text)
