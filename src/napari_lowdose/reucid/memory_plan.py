"""RAM estimation: how many patch stacks the work is divided into.

The paper's rule: the expected use from the image and patch dimensions, over the memory
that may be used, gives the number of workload divisions d.
"""

from __future__ import annotations

import math

import psutil

# Of the memory that is available now, the share that is taken without being asked.
DEFAULT_SHARE = 0.25

# Images of the input's size held while it works, 4 bytes a pixel: image, canvas, terrain,
# mask, interim image, and room for a sum on the way.
WORKING_IMAGES = 8


def plan_stacks(
    shape: tuple[int, int],
    patch_size: int,
    memory_limit: int | None = None,
    max_patches: int | None = None,
) -> int:
    """Return the number of patch stacks d that keeps within the memory.

    Parameters
    ----------
    shape : (int, int)
        Of the image, (m, n) pixels.
    patch_size : int
        Width p of a patch, pixels.
    memory_limit : int, optional
        Bytes.  By default a quarter of what is available now.
    max_patches : int, optional
        A stack takes no more patches than this for its SVD; by default all.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    ValueError
        If not even one row of patches fits.
    """
    if memory_limit is None:
        memory_limit = int(DEFAULT_SHARE * psutil.virtual_memory().available)
    down, across = shape[0] - patch_size + 1, shape[1] - patch_size + 1
    patch_bytes = 4 * patch_size**2
    fixed = 4 * WORKING_IMAGES * shape[0] * shape[1]
    left = memory_limit - fixed
    n_patches = left // patch_bytes
    if n_patches < across:
        needed = fixed + across * patch_bytes
        raise ValueError(
            f"the memory limit of {memory_limit / 2**20:.0f} MiB is too small for one row of "
            f"{patch_size} x {patch_size} patches of a {shape[0]} x {shape[1]} image: "
            f"allow at least {math.ceil(needed / 2**20)} MiB, or use a smaller patch."
        )
    if max_patches is not None and n_patches >= min(max_patches, down * across):
        return 1
    return math.ceil(down * across / n_patches)
