"""Eigenpatches of the training of the shipped classifier, against forgetting.

``replay.safetensors`` has, for each network, what the dense layers see of some thousand
eigenpatches of the specimens in ``training/``, and the best choice in hindsight.  The specimens
that training never saw are kept apart: they tell how much was forgotten.  It is made by
``python -m training.replay``.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_lowdose.reucid.classifier import UTILITY_THRESHOLD, dense

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lowdose.reucid.classifier_file import Weights

FILE = "replay.safetensors"


class Replay(NamedTuple):
    """Eigenpatches with known labels.

    Attributes
    ----------
    seen : (2, n, 16) float32 array
        What the dense layers see, for both signs.
    labels : (n,) bool array
        The best choice in hindsight.
    cost : (n,) float32 array
        Cost of a mistake: the relative change of the squared error.
    """

    seen: NDArray[np.float32]
    labels: NDArray[np.bool_]
    cost: NDArray[np.float32]

    def accuracy(self, weights: Weights) -> float:
        """Return the share of correct decisions, weighted by the cost of a mistake."""
        logit = dense(self.seen.reshape(-1, 16), weights).reshape(2, -1).mean(axis=0)
        kept = logit > np.log(UTILITY_THRESHOLD / (1 - UTILITY_THRESHOLD))
        return float(np.average(kept == self.labels, weights=self.cost))


@cache
def replay(network: str, held_out: bool = False) -> Replay:
    """Return the shipped eigenpatches of the training, or of the specimens that it never saw.

    Parameters
    ----------
    network : "remove" or "keep"
    held_out : bool
    """
    from safetensors.numpy import load

    everything = load(files(__package__).joinpath(FILE).read_bytes())
    of = f"{network}.{'held_out' if held_out else 'training'}"
    seen = everything[f"{of}.seen"].astype(np.float32)
    labels, cost = everything[f"{of}.labels"], everything[f"{of}.cost"]
    return Replay(seen, labels.astype(bool), cost.astype(np.float32))
