"""A literal transcription of the REUCID paper in NumPy, float64 and loops, to test the engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.utils.extmath import randomized_svd


def transcription(
    image: np.ndarray, patch_size: int, kept: Sequence[int], stack_of: np.ndarray, rank: int = 25
) -> np.ndarray:
    """Denoise an image as the paper describes, with given patch stacks and kept eigenpatches.

    Parameters
    ----------
    image : (m, n) array
        Noisy image.
    patch_size : int
        Side p of a patch, pixels.
    kept : sequence of int
        Indices of the eigenpatches that every stack keeps.
    stack_of : (m - p + 1, n - p + 1) int array
        Patch stack of each patch; patches with a negative number are left out.
    rank : int
        Rank of the randomised SVD.
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
