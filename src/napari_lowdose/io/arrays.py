"""Conversion of array-likes to images: NumPy if they are in memory, lazy if they are not."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


def as_image(given: Any, name: str = "the image") -> Any:
    """Convert an array-like to a NumPy array; return a lazy array unchanged.

    Parameters
    ----------
    given : array-like
        NumPy, dask, zarr, h5py, PyTorch (on any device), CuPy, JAX, xarray, pandas, pint, a sparse
        matrix, a PIL image, or nested lists of numbers.
    name : str
        Name of the argument in error messages.

    Returns
    -------
    array
        Same shape and dtype.  Chunked arrays (dask, zarr, h5py) are returned unchanged and are not
        read.  Everything else becomes a `numpy.ndarray`, without a copy if possible.

    Raises
    ------
    ValueError
        If `given` is not an array of pixels, or has masked pixels.

    Examples
    --------
    >>> as_image([[1, 2], [3, 4]]).shape
    (2, 2)
    >>> as_image("image.tif")
    Traceback (most recent call last):
        ...
    ValueError: the image is a path: read its pixels first, for example with tifffile.imread(path).
    """
    if type(given) is np.ndarray:
        return given
    if (problem := _no_pixels(given)) is not None:
        raise ValueError(f"{name} {problem}")
    given = _without_wrapper(given)
    if _is_masked(given):
        raise ValueError(f"{name} has masked pixels: fill them in or crop them away first.")
    if hasattr(given, "chunks") and hasattr(given, "dtype"):  # dask, zarr, h5py
        return given
    if hasattr(given, "shape") and not hasattr(given, "__array__"):  # other lazy arrays
        return given
    try:
        return np.asarray(given)
    except (ValueError, TypeError, RuntimeError, MemoryError) as error:
        if isinstance(error, MemoryError):
            raise
        raise ValueError(
            f"{name} cannot be converted to an array ({_first_line(error)}): all rows and frames "
            "need the same length."
        ) from error


def as_frame(given: Any, name: str = "the image") -> Any:
    """Convert an array-like to a single frame of real numbers, as `as_image` does.

    Parameters
    ----------
    given : (Y, X) array-like
    name : str
        Name of the argument in error messages.

    Returns
    -------
    (Y, X) array
        Lazy if `given` is.

    Raises
    ------
    ValueError
        As `as_image`, or if it is not a single frame, or its pixels are not real numbers.

    Examples
    --------
    >>> as_frame(np.zeros((5, 16, 16)), "the result")
    Traceback (most recent call last):
        ...
    ValueError: One frame is needed, but the shape of the result is (5, 16, 16): select a frame or a
    channel, for example image[0].
    """
    frame = as_image(given, name)
    if frame.ndim != 2:
        raise ValueError(
            f"One frame is needed, but the shape of {name} is {tuple(frame.shape)}: select a frame "
            "or a channel, for example image[0]."
        )
    if frame.dtype.kind not in "biuf":
        raise ValueError(f"{name} has dtype {frame.dtype}, which is not a real number per pixel.")
    return frame


def sliceable(movie: Any) -> Any:
    """Return a movie that is read only when a slice of it is computed.

    Parameters
    ----------
    movie : (..., Y, X) array
        Any array that `as_image` returns.

    Returns
    -------
    (..., Y, X) array
        NumPy and dask arrays are returned unchanged; zarr, h5py and similar arrays, which would
        read any slice at once, become dask arrays.

    Examples
    --------
    >>> frames = np.zeros((3, 4, 4))
    >>> sliceable(frames) is frames
    True
    """
    if isinstance(movie, np.ndarray) or hasattr(movie, "__dask_graph__"):
        return movie
    import dask.array as da

    from napari_lowdose.io.zarr_frames import ZarrFrames, as_zarr_frames

    movie = as_zarr_frames(movie)
    if isinstance(movie, ZarrFrames):
        return movie.lazy()
    return da.asarray(movie)  # type: ignore[no-untyped-call]


def _no_pixels(given: Any) -> str | None:
    """Return why `given` is not an image, as the predicate of a message; None if it may be one."""
    if given is None:
        return "is None: give an array of pixels."
    if isinstance(given, type):
        return f"is the class {given.__name__}: give an array of pixels."
    if isinstance(given, (str, bytes, os.PathLike)):
        return "is a path: read its pixels first, for example with tifffile.imread(path)."
    if isinstance(given, (bool, int, float, complex)):
        return f"is the number {given!r}: give an array of pixels."
    if callable(getattr(given, "frame_steps", None)):
        return f"is an engine, {type(given).__name__}: the image comes first, then the engine."
    if isinstance(given, Iterator):
        return "is an iterator: stack its frames first, np.stack(list(frames))."
    if isinstance(given, (Mapping, set)) or hasattr(given, "data_vars"):
        return f"is a {type(given).__name__} of several items: give one of its arrays."
    module = type(given).__module__.partition(".")[0]
    if module == "zarr" and not hasattr(given, "shape"):
        return "is a zarr group: give one of its arrays, for example group['0']."
    if module == "napari" and hasattr(given, "data"):
        return "is a napari layer: give its pixels, layer.data."
    if hasattr(given, "pixels") and not hasattr(given, "shape"):
        return f"is a {type(given).__name__}: give its pixels."
    return None


def _without_wrapper(given: Any) -> Any:
    """Return the array inside a type that NumPy cannot convert, or not without loss.

    The libraries are recognised by name, so that none of them has to be imported.
    """
    module = type(given).__module__.partition(".")[0]
    if module == "torch":  # NumPy has no bfloat16
        tensor = given.detach().cpu()
        return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    if module == "cupy":
        return given.get()
    if module == "xarray":
        return given.data
    if hasattr(given, "to_numpy"):  # pandas, polars
        return given.to_numpy()
    if hasattr(given, "magnitude") and hasattr(given, "units"):  # pint
        return given.magnitude
    if hasattr(given, "toarray") and hasattr(given, "nnz"):  # sparse counts
        return given.toarray()
    return given


def _is_masked(given: Any) -> bool:
    """Return whether pixels are masked; for a dask array, whether they can be."""
    if np.ma.isMaskedArray(given):
        return bool(np.ma.is_masked(given))
    return np.ma.isMaskedArray(getattr(given, "_meta", None))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")
