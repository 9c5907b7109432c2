"""Finding the files from which an array is read, whatever library opened them."""

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

_MAX_OBJECTS = 2_000_000  # limit of the search; the dask graph of a very long movie is smaller
_MAX_PATH_LENGTH = 4096  # characters; longer strings are not paths


def files_overlap(image: Any, output: Path) -> bool:
    """Return whether writing to a folder would overwrite the files from which an array is read.

    Parameters
    ----------
    image : array
        NumPy (memory-mapped), zarr, HDF5, or dask on any of them.  The whole dask graph is
        searched, including functions and file names.
    output : Path
        Folder of the result.

    Returns
    -------
    bool
        True if a file of `image` lies in `output`, or `output` in a zarr array of `image`.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> mapped = np.memmap(folder / "a.raw", np.uint8, "w+", shape=(4, 4))
    >>> files_overlap(mapped[1:].T, folder), files_overlap(np.zeros(3), folder)
    (True, False)
    """
    return any(
        is_within(path, output) or (is_array(path) and is_within(output, path))
        for path in _files(image)
    )


def missing_chunks(image: Any) -> str | None:
    """Return a warning if chunks of the zarr arrays behind a dask array are missing.

    zarr reads a missing chunk as its fill value, and dask does not notice.  `ZarrFrames` checks
    its chunks itself, so its arrays are skipped.

    Parameters
    ----------
    image : dask array

    Returns
    -------
    str or None
        None if no chunk is missing.
    """
    import zarr

    for path in _files(image, skip=(ZarrFrames,)):
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
    """Return whether a path is a folder or lies in it, after following links."""
    try:
        path = path.resolve()
        folders = (path, *path.parents)
        return any(each.exists() and each.samefile(folder) for each in folders)
    except (OSError, RuntimeError, ValueError):  # not a path, or not accessible
        return False


def _files(image: Any, skip: tuple[type, ...] = ()) -> Iterator[Path]:
    """Yield the files that can be reached from an array, also those named by strings in a graph.

    No library offers this, so the references between Python objects are followed.
    """
    # Holds the objects themselves: Python would reuse the id of an object that is deleted
    seen: dict[int, Any] = {}
    todo = [image]
    while todo and len(seen) < _MAX_OBJECTS:
        item = todo.pop()
        if id(item) in seen or isinstance(item, (type, types.ModuleType, types.FrameType, *skip)):
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
            # Of the globals only arrays: functions would lead through the whole program
            used = (item.__globals__.get(name) for name in item.__code__.co_names)
            todo += [each for each in used if hasattr(each, "shape")]
        elif hasattr(item, "__dask_graph__"):
            todo.append(item.__dask_graph__())
        elif (store := getattr(item, "store", None)) is not None:  # zarr
            yield from _store_paths(store, getattr(item, "path", ""))
        elif hasattr(item, "file") and hasattr(item, "id"):  # HDF5
            yield from _as_path(getattr(item.file, "filename", None))
        else:
            todo += gc.get_referents(item)


def _store_paths(store: Any, inside: Any) -> Iterator[Path]:
    """Yield the path of a zarr array in a store, if the store is on disk."""
    while hasattr(store, "_store"):  # a wrapper
        store = store._store
    # LocalStore has `root`; stores of fsspec and zip files have `path`
    root = getattr(store, "root", None) or getattr(store, "path", None)
    for path in _as_path(root, must_exist=False):
        yield path / str(inside) if path.is_dir() else path


def _as_path(item: Any, must_exist: bool = True) -> Iterator[Path]:
    """Yield `item` as a path; nothing if it is not one."""
    if not isinstance(item, (str, os.PathLike)):
        return
    text = os.fspath(item)
    if not isinstance(text, str) or not 0 < len(text) < _MAX_PATH_LENGTH or "\0" in text:
        return
    text = text.removeprefix("file://")
    if not must_exist or os.path.lexists(text):
        yield Path(text)
