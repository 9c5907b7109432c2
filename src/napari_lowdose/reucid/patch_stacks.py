"""Patchisation: which patch belongs to which patch stack.

A patch is named by its top-left pixel.  No padding anywhere: an (m, n) image has
(m - p + 1) x (n - p + 1) patches, and the last p - 1 rows and columns, which have no
patch of their own, are denoised through others' patches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def assign_stacks(
    shape: tuple[int, int], patch_size: int, n_stacks: int, seed: int
) -> NDArray[np.uint16]:
    """Draw the patch stack of every patch, 0 to d - 1, at random.

    Parameters
    ----------
    shape : (int, int)
        Of the image, (m, n) pixels.
    patch_size : int
        Width p of a patch, pixels.
    n_stacks : int
        The number of stacks d.
    seed : int

    Returns
    -------
    (m - p + 1, n - p + 1) uint16 array
        The stack of the patch whose top-left pixel this is.
    """
    positions = (shape[0] - patch_size + 1, shape[1] - patch_size + 1)
    if n_stacks == 1:
        return np.zeros(positions, np.uint16)
    return np.random.default_rng(seed).integers(n_stacks, size=positions, dtype=np.uint16)


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
        The matrix ready for the SVD.
    """
    windows = np.lib.stride_tricks.sliding_window_view(image, (patch_size, patch_size))
    rows, columns = np.unravel_index(positions, windows.shape[:2])
    return windows[rows, columns].reshape(len(positions), patch_size**2)
