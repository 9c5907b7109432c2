"""RAM estimation: the number of patch stacks that fits into memory.

As in the paper, the number of workload divisions d is the expected memory, from the dimensions of
image and patch, divided by the memory limit.
"""

from __future__ import annotations

import math

import psutil

from napari_lowdose.reucid.patch_stacks import min_patches

# Default memory limit, as a fraction of the available memory.
DEFAULT_SHARE = 0.25

# Number of arrays of the image size held at the same time, 4 bytes per pixel: image, canvas,
# terrain, mask, interim image, and room for temporary sums.
WORKING_IMAGES = 8


def plan_stacks(
    shape: tuple[int, int],
    patch_size: int,
    memory_limit: int | None = None,
    max_patches: int | None = None,
    itemsize: int = 4,
) -> int:
    """Return the smallest number of patch stacks d that fits into memory.

    Parameters
    ----------
    shape : (int, int)
        Image shape (m, n), pixels.
    patch_size : int
        Width p of a patch, pixels.
    memory_limit : int, optional
        Bytes.  By default a quarter of the available memory.
    max_patches : int, optional
        Maximum number of patches of a stack used for its SVD.  By default all patches are used.
    itemsize : int
        Bytes per pixel of the input.  All computations are in float32.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    ValueError
        If one row of patches, or the minimum number of patches in a stack, does not fit.
    """
    if memory_limit is None:
        memory_limit = int(DEFAULT_SHARE * psutil.virtual_memory().available)
    down, across = shape[0] - patch_size + 1, shape[1] - patch_size + 1
    patch_bytes = 4 * patch_size**2
    # The input is kept in its own type, beside the float32 working images.
    fixed = (4 * WORKING_IMAGES + itemsize) * shape[0] * shape[1]
    least = max(across, min_patches(patch_size))
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
    """Format a number of bytes, rounded up.

    Examples
    --------
    >>> megabytes(300_000_000), megabytes(150_000)
    ('287 MiB', '147 KiB')
    """
    unit, size = ("MiB", 2**20) if n_bytes >= 2**20 else ("KiB", 2**10)
    return f"{math.ceil(n_bytes / size)} {unit}"
