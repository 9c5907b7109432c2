"""Which eigenpatches were worth keeping, told from the known truth.

The paper asked 224 people; here the truth of a simulation answers, by what a choice does
to the whole image.  With the reconstruction J = c + sum over kept k of C_k (C_k: what
eigenpatch k alone puts on the canvas, over the terrain; c: the constant that was taken
off), the squared error of every possible choice follows from the inner products
b_k = <T - c, C_k> and Q_kl = <C_k, C_l>, so a search over choices costs no image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_lowdose.engine import run_to_end
from napari_lowdose.reucid import eigenpatches
from napari_lowdose.reucid.patch_gram import patch_gram
from napari_lowdose.reucid.prepared import standardise
from napari_lowdose.reucid.projection import project
from napari_lowdose.reucid.terrain import patch_terrain


@dataclass(frozen=True)
class ErrorOfChoice:
    """The mean squared error of every choice of eigenpatches, for one noisy image.

    Attributes
    ----------
    power : float
        <T - c, T - c> over the number of pixels: the error of keeping nothing.
    b : (k,) array
        <T - c, C_k> over the number of pixels.
    q : (k, k) array
        <C_k, C_l> over the number of pixels.
    """

    power: float
    b: np.ndarray
    q: np.ndarray

    def __call__(self, kept: np.ndarray) -> float:
        """Return the mean squared error with the eigenpatches in the boolean array `kept`."""
        return self.power - 2 * self.b[kept].sum() + self.q[np.ix_(kept, kept)].sum()

    def after_toggling(self, kept: np.ndarray) -> np.ndarray:
        """Return the mean squared error after toggling each eigenpatch by itself."""
        sign = np.where(kept, -1.0, 1.0)  # toggling adds or takes off C_k
        return self(kept) + sign * 2 * (self.q[:, kept].sum(axis=1) - self.b) + np.diag(self.q)


def contributions(noisy: np.ndarray, patches: np.ndarray) -> tuple[float, np.ndarray]:
    """Return c and C_k, what each eigenpatch alone puts on the canvas: (k, Y, X), input's units."""
    offset, scale, image = standardise(noisy)
    p = patches.shape[-1]
    everywhere = np.ones([n - p + 1 for n in noisy.shape], bool)
    terrain = patch_terrain(everywhere, p) / scale
    return offset, np.stack(
        [run_to_end(project(image, v[None], everywhere)) / terrain for v in patches]
    )


def error_of_choice(truth: np.ndarray, offset: float, c: np.ndarray) -> ErrorOfChoice:
    """Relate the contributions of the eigenpatches to the truth."""
    c = c.reshape(len(c), -1)
    target = (truth - offset).ravel().astype(np.float32)
    n = target.size
    q = (c @ c.T).astype(np.float64) / n
    return ErrorOfChoice(float(np.square(target, dtype=np.float64).mean()), (c @ target) / n, q)


@dataclass(frozen=True)
class Decomposition:
    """Singular values (k,), eigenpatches (k, p, p) and noise floor of all patches of an image."""

    singular_values: np.ndarray
    eigenpatches: np.ndarray
    noise_floor: float


def decompose(noisy: np.ndarray, patch_size: int, n_components: int) -> Decomposition:
    """Run the engine's own front end on all patches of `noisy`."""
    everywhere = np.ones([n - patch_size + 1 for n in noisy.shape], bool)
    image = standardise(noisy)[2]
    return Decomposition(
        *run_to_end(eigenpatches.decompose(image, everywhere, patch_size, n_components))
    )


def best_prefix(error: ErrorOfChoice) -> np.ndarray:
    """Return the best choice of the form 'the first n', as a boolean array."""
    choices = np.tri(len(error.b), dtype=bool)
    return choices[np.argmin([error(kept) for kept in choices])]


def greedy(error: ErrorOfChoice, start: np.ndarray | None = None) -> np.ndarray:
    """Toggle the eigenpatch that lowers the error most until none does (at least one is kept)."""
    kept = np.zeros(len(error.b), bool) if start is None else start.copy()
    if not kept.any():
        kept[error.after_toggling(kept).argmin()] = True
    while True:
        after = error.after_toggling(kept)
        if kept.sum() == 1:
            after[kept] = np.inf
        best = after.argmin()
        if after[best] >= error(kept) * (1 - 1e-9):
            return kept
        kept[best] ^= True


def best_in_hindsight(error: ErrorOfChoice) -> np.ndarray:
    """Return the better of the best prefix and the greedy set."""
    return min((best_prefix(error), greedy(error)), key=error)


def noise_floor(noisy: np.ndarray, patch_size: int) -> float:
    """Return the median of all p*p squared singular values, per patch: most are noise."""
    gram = run_to_end(patch_gram(standardise(noisy)[2], patch_size))
    n_patches = np.prod([n - patch_size + 1 for n in noisy.shape])
    return float(np.median(np.linalg.eigvalsh(gram)) / n_patches)


def plain_rule(noisy: np.ndarray, stack: Decomposition, floor: float) -> np.ndarray:
    """Keep where the squared singular value is above twice the median of the noise floor.

    White noise puts the same into every squared singular value, whatever the patch size:
    its variance times the number of patches.
    """
    p = stack.eigenpatches.shape[-1]
    n_patches = np.prod([n - p + 1 for n in noisy.shape])
    kept = stack.singular_values**2 > 2 * floor * n_patches
    kept[0] = True
    return kept
