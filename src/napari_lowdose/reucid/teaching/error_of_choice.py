"""Squared error of any choice of eigenpatches, without reconstructing an image.

The reconstruction is J = c + sum of C_k over the kept eigenpatches k, where C_k is the
contribution of eigenpatch k alone, and c is the constant subtracted before.  The squared error of
every choice follows from the inner products b_k = <T - c, C_k> and Q_kl = <C_k, C_l> with the
truth T.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Choice = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ErrorOfChoice:
    """Mean squared error of any choice of eigenpatches of one noisy image.

    Attributes
    ----------
    power : float
        <T - c, T - c> divided by the number of pixels: the error if nothing is kept.
    b : (k,) array
        <T - c, C_k> divided by the number of pixels.
    q : (k, k) array
        <C_k, C_l> divided by the number of pixels.
    """

    power: float
    b: NDArray[np.floating[Any]]
    q: NDArray[np.floating[Any]]

    def __call__(self, kept: Choice) -> float:
        """Return the mean squared error of keeping the eigenpatches in the boolean array `kept`."""
        return float(self.power - 2 * self.b[kept].sum() + self.q[np.ix_(kept, kept)].sum())

    def after_toggling(self, kept: Choice) -> NDArray[np.float64]:
        """Return the mean squared error after toggling each eigenpatch alone, shape (k,)."""
        sign = np.where(kept, -1.0, 1.0)  # toggling adds or removes C_k
        change = sign * 2 * (self.q[:, kept].sum(axis=1) - self.b) + np.diag(self.q)
        return np.asarray(self(kept) + change)


def best_prefix(error: ErrorOfChoice) -> Choice:
    """Return the best choice of the first n eigenpatches, as a boolean array."""
    choices = np.tri(len(error.b), dtype=bool)
    best: Choice = choices[np.argmin([error(kept) for kept in choices])]
    return best


def greedy(error: ErrorOfChoice, start: Choice | None = None) -> Choice:
    """Toggle eigenpatches, the best first, until the error stops decreasing; keep at least one."""
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


def best_in_hindsight(error: ErrorOfChoice) -> Choice:
    """Return the better of the best prefix and the greedy set."""
    return min((best_prefix(error), greedy(error)), key=error)
