"""Creating and opening an OME-Zarr image with one array, one chunk per frame, to write frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_lowdose.io.ome_zarr import LEVEL, axis_names, metadata

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import DTypeLike


def create_image(
    folder: Path,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    attributes: Mapping[str, Any],
    *,
    fill_value: float,
    compressors: Any = "auto",
) -> None:
    """Create an OME-Zarr 0.5 group with one empty array of full resolution.

    Parameters
    ----------
    folder : Path
        Folder of the group.
    shape : tuple of int
        Shape of the array, (..., Y, X).
    dtype : dtype
    attributes : mapping
        Axes, scale, units and further attributes, of both the group and the array.
    fill_value : float
        Value of the frames that are not written yet.
    compressors : optional
        Compressors of zarr.
    """
    import zarr

    described = metadata(len(shape), *(attributes.get(k) for k in ("axes", "scale", "units")))
    group = zarr.create_group(folder, attributes={**described, **attributes})
    group.create_array(
        LEVEL,
        shape=shape,
        chunks=(*(1,) * (len(shape) - 2), *shape[-2:]),  # a frame is written as a whole
        dtype=dtype,
        fill_value=fill_value,
        dimension_names=axis_names(described),
        compressors=compressors,
        attributes=dict(attributes),
    )


def open_to_write(folder: Path) -> Any:
    """Open the array of an image that `create_image` has made.

    Parameters
    ----------
    folder : Path
        Folder of the group.

    Returns
    -------
    zarr.Array
    """
    import zarr

    array = zarr.open_array(folder / LEVEL, mode="r+")
    # Otherwise zarr writes no file for a frame of the fill value
    return array.with_config({"write_empty_chunks": True})
