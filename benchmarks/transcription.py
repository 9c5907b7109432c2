"""The REUCID paper in plain words of NumPy, float64 and loops: what the engine is held against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.utils.extmath import randomized_svd


def transcription(
    image: np.ndarray, patch_size: int, kept: Sequence[int], stack_of: np.ndarray, rank: int = 25
) -> np.ndarray:
    """Denoise `image` as the paper writes it, given the stack of each patch and the choice.

    Parameters
    ----------
    image : (m, n) array
    patch_size : int
    kept : sequence of int
        Indices of the eigenpatches that every stack keeps.
    stack_of : (m - p + 1, n - p + 1) int array
        The patch stack of each patch; patches below 0 are in none and are left out.
    rank : int
        Of the randomised SVD.
    """
    p = patch_size
    offset = image.mean()
    image = image.astype(np.float64) - offset
    canvas = np.zeros(image.shape)
    terrain = np.zeros(image.shape)
    for stack in range(int(stack_of.max()) + 1):
        corners = np.argwhere(stack_of == stack)
        matrix = np.empty((len(corners), p * p))
        for i, (y, x) in enumerate(corners):
            matrix[i] = image[y : y + p, x : x + p].ravel()
        _, _, eigenpatches = randomized_svd(matrix, rank, n_iter=8, random_state=0)
        useful = eigenpatches[list(kept)]
        truncated = matrix @ useful.T @ useful
        for patch, (y, x) in zip(truncated, corners, strict=True):
            canvas[y : y + p, x : x + p] += patch.reshape(p, p)
            terrain[y : y + p, x : x + p] += 1
    covered = terrain > 0
    return np.where(covered, canvas / np.where(covered, terrain, 1), image) + offset
