"""Patchisation: assignment of patches to patch stacks.

A patch is identified by its top-left pixel.  The image is not padded: an (m, n) image has
(m - p + 1) x (n - p + 1) patches.  No patch starts in the last p - 1 rows and columns, but the
patches that start before them cover their pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PATCHES_PER_PIXEL = 4  # minimum number of patches in a stack per pixel of a patch
SMALLEST_IMAGE = 8  # minimum image size, pixels: enough patches of 3 x 3


def assign_stacks(
    shape: tuple[int, int], patch_size: int, n_stacks: int, seed: int
) -> NDArray[np.unsignedinteger]:
    """Assign every patch to a random patch stack, 0 to d - 1.

    Parameters
    ----------
    shape : (int, int)
        Image shape (m, n), pixels.
    patch_size : int
        Width p of a patch, pixels.
    n_stacks : int
        Number of stacks d.
    seed : int

    Returns
    -------
    (m - p + 1, n - p + 1) unsigned integer array
        Stack of the patch with this top-left pixel.
    """
    positions = (shape[0] - patch_size + 1, shape[1] - patch_size + 1)
    if n_stacks == 1:
        return np.zeros(positions, np.uint8)
    # The smallest type: this array has one entry per pixel.
    dtype = np.uint16 if n_stacks <= 2**16 else np.uint32
    return np.random.default_rng(seed).integers(n_stacks, size=positions, dtype=dtype)


def min_patches(patch_size: int) -> int:
    """Return the minimum number of patches in a stack to distinguish noise from structure.

    If the number of patches is close to the number of pixels of a patch, the eigenpatches
    describe every patch exactly, including its noise.
    """
    return PATCHES_PER_PIXEL * patch_size**2


def count_patches(shape: tuple[int, ...], patch_size: int) -> int:
    """Return the number of patches of an image."""
    return max(shape[0] - patch_size + 1, 0) * max(shape[1] - patch_size + 1, 0)


def largest_patch(shape: tuple[int, ...]) -> int:
    """Return the largest odd patch size with enough patches in the image; below 3 if none."""
    p = (min(shape) - 1) // 2 * 2 + 1
    # Counted down, because the number of patches has no simple inverse for oblong images.
    while p >= 3 and count_patches(shape, p) < min_patches(p):
        p -= 2
    return p


def check_patch_fits(shape: tuple[int, ...], patch_size: int) -> None:
    """Raise a ValueError if an image has too few patches of this size."""
    if patch_size > largest_patch(shape):
        raise ValueError(
            f"the image of {shape[0]} x {shape[1]} pixels is too small for patches of {patch_size} "
            f"x {patch_size}: use a patch size of {largest_patch(shape)} or less, or a larger "
            "image."
        )


def check_stacks_full(shape: tuple[int, ...], patch_size: int, n_stacks: int) -> None:
    """Raise a ValueError if this number of stacks leaves too few patches in each."""
    most = count_patches(shape, patch_size) // min_patches(patch_size)
    if n_stacks > most:
        raise ValueError(
            f"n_stacks is {n_stacks}, which leaves too few patches in each to tell structure from "
            f"noise: use at most {most} for this image and patch size."
        )


def extract_patches(
    image: NDArray[np.float32], patch_size: int, positions: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Return the patches at `positions`, each reshaped to a vector.

    Parameters
    ----------
    image : (m, n) float32 array
    patch_size : int
    positions : (N,) int array
        Flat indices into the (m - p + 1, n - p + 1) grid of top-left pixels.

    Returns
    -------
    (N, p * p) float32 array
        Patch matrix for the SVD.
    """
    # A view: only the requested patches are copied.
    windows = np.lib.stride_tricks.sliding_window_view(image, (patch_size, patch_size))
    rows, columns = np.unravel_index(positions, windows.shape[:2])
    return windows[rows, columns].reshape(len(positions), patch_size**2)
