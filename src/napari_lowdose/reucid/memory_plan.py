"""RAM estimation: how many patch stacks the work is divided into.

The paper's rule: the expected use from the image and patch dimensions, over the memory
that may be used, gives the number of workload divisions d.
"""

from __future__ import annotations

import math

import psutil

from napari_lowdose.reucid.patch_stacks import least_patches

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
    itemsize: int = 4,
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
    itemsize : int
        Bytes of a pixel of the input.  All work is done in float32, whatever the input.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    ValueError
        If not even one row of patches fits, or fewer than a stack needs.
    """
    if memory_limit is None:
        memory_limit = int(DEFAULT_SHARE * psutil.virtual_memory().available)
    down, across = shape[0] - patch_size + 1, shape[1] - patch_size + 1
    patch_bytes = 4 * patch_size**2
    fixed = (4 * WORKING_IMAGES + itemsize) * shape[0] * shape[1]
    least = max(across, least_patches(patch_size))
    n_patches = (memory_limit - fixed) // patch_bytes
    if n_patches < least:
        needed = fixed + least * patch_bytes
        raise ValueError(
            f"the memory limit of {megabytes(memory_limit)} is too small for one row of "
            f"{patch_size} x {patch_size} patches of a {shape[0]} x {shape[1]} image: "
            f"allow at least {megabytes(needed)}, or use a smaller patch."
        )
    if max_patches is not None and n_patches >= min(max_patches, down * across):
        return 1
    return math.ceil(down * across / n_patches)


def megabytes(n_bytes: int) -> str:
    """Return a number of bytes for a person, rounded up.

    Examples
    --------
    >>> megabytes(300_000_000), megabytes(150_000)
    ('287 MiB', '147 KiB')
    """
    unit, size = ("MiB", 2**20) if n_bytes >= 2**20 else ("KiB", 2**10)
    return f"{math.ceil(n_bytes / size)} {unit}"
