"""Labels for eigenpatches from the known truth of a simulation.

The paper asked 224 people which eigenpatches to keep.  Here the label is the choice that
minimises the squared error of the whole image (`napari_lowdose.reucid.teaching.error_of_choice`).
The contribution C_k is the projection of eigenpatch k alone, divided by the terrain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_lowdose.engine import run_to_end
from napari_lowdose.reucid import eigenpatches
from napari_lowdose.reucid.patch_gram import patch_gram
from napari_lowdose.reucid.prepared import standardise
from napari_lowdose.reucid.projection import project
from napari_lowdose.reucid.teaching.error_of_choice import ErrorOfChoice
from napari_lowdose.reucid.terrain import patch_terrain


def contributions(noisy: np.ndarray, patches: np.ndarray) -> tuple[float, np.ndarray]:
    """Return c and the contribution C_k of each eigenpatch, (k, Y, X), in units of the input."""
    offset, scale, image = standardise(noisy)
    p = patches.shape[-1]
    everywhere = np.ones([n - p + 1 for n in noisy.shape], bool)
    terrain = patch_terrain(everywhere, p) / scale
    return offset, np.stack(
        [run_to_end(project(image, v[None], everywhere)) / terrain for v in patches]
    )


def error_of_choice(truth: np.ndarray, offset: float, c: np.ndarray) -> ErrorOfChoice:
    """Return the error of any choice, from the contributions `c` (k, Y, X) and the truth (Y, X)."""
    c = c.reshape(len(c), -1)
    target = (truth - offset).ravel().astype(np.float32)
    n = target.size
    q = (c @ c.T).astype(np.float64) / n
    return ErrorOfChoice(float(np.square(target, dtype=np.float64).mean()), (c @ target) / n, q)


@dataclass(frozen=True)
class Decomposition:
    """Singular values (k,), eigenpatches (k, p, p) and noise floor of the patches of an image."""

    singular_values: np.ndarray
    eigenpatches: np.ndarray
    noise_floor: float


def decompose(noisy: np.ndarray, patch_size: int, n_components: int) -> Decomposition:
    """Decompose all patches of `noisy` as the engine does."""
    everywhere = np.ones([n - patch_size + 1 for n in noisy.shape], bool)
    image = standardise(noisy)[2]
    return Decomposition(
        *run_to_end(eigenpatches.decompose(image, everywhere, patch_size, n_components))
    )


def noise_floor(noisy: np.ndarray, patch_size: int) -> float:
    """Return the median of the p * p squared singular values per patch; most of them are noise."""
    gram = run_to_end(patch_gram(standardise(noisy)[2], patch_size))
    n_patches = np.prod([n - patch_size + 1 for n in noisy.shape])
    return float(np.median(np.linalg.eigvalsh(gram)) / n_patches)


def plain_rule(noisy: np.ndarray, stack: Decomposition, floor: float) -> np.ndarray:
    """Keep eigenpatches whose squared singular value exceeds twice the noise floor.

    White noise adds the same amount to every squared singular value, independent of the patch
    size: its variance times the number of patches.
    """
    p = stack.eigenpatches.shape[-1]
    n_patches = np.prod([n - p + 1 for n in noisy.shape])
    kept = stack.singular_values**2 > 2 * floor * n_patches
    kept[0] = True
    return kept
