"""What can be cut without being read."""

from __future__ import annotations

from typing import Any

import numpy as np


def sliceable(movie: Any) -> Any:
    """Return a movie whose slices stay lazy: zarr arrays and the like become dask arrays.

    Parameters
    ----------
    movie : (..., Y, X) array

    Returns
    -------
    (..., Y, X) array
        NumPy and dask arrays as they are.

    Examples
    --------
    >>> import numpy as np
    >>> frames = np.zeros((3, 4, 4))
    >>> sliceable(frames) is frames
    True
    """
    if isinstance(movie, np.ndarray) or hasattr(movie, "__dask_graph__"):
        return movie
    import dask.array as da

    from napari_lowdose.io.zarr_frames import ZarrFrames, checked

    movie = checked(movie)
    if isinstance(movie, ZarrFrames):
        return movie.lazy()
    return da.asarray(movie)  # type: ignore[no-untyped-call]
