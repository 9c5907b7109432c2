"""Evaluation of the classifier on held-out specimens."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_lowdose.reucid.classifier import choose

if TYPE_CHECKING:
    from training.dataset import Example
    from training.network import UtilityNet

DOSES = ((0, 10, "under 10"), (10, 60, "10 to 60"), (60, np.inf, "over 60"))


@torch.no_grad()
def utilities(net: UtilityNet, example: Example) -> np.ndarray:
    """Return the utility of each eigenpatch of an example, (k,), 0 to 1."""
    patches = torch.from_numpy(example.patches.astype(np.float32))
    return torch.sigmoid(net.either_sign(patches, torch.from_numpy(example.values))).numpy()


def area_under_curve(score: np.ndarray, label: np.ndarray) -> float:
    """Return the area under the ROC curve; NaN if all labels are equal."""
    if label.all() or not label.any():
        return float("nan")
    rank = np.empty(len(score))
    rank[score.argsort()] = np.arange(1, len(score) + 1)
    n = label.sum()
    return float((rank[label].sum() - n * (n + 1) / 2) / (n * (len(label) - n)))


def report(net: UtilityNet, test: Sequence[Example]) -> None:
    """Print accuracy, AUC and dB below the best choice in hindsight, per noise and specimen."""
    header = (
        f"{'noise':8s} {'e-/peak':9s} {'n':>3s} {'accuracy':>8s} {'AUC':>5s} {'best dB':>8s} "
        f"{'CNN':>6s} {'plain':>6s}"
    )
    print(f"{'specimen':24s} {'patch':5s} {header}")
    for key in (_by_noise, _by_specimen_and_dose):
        for group, members in groupby(sorted(test, key=key), key):
            print_row(net, group, list(members))


def _by_noise(e: Example) -> tuple[str, str, str, str]:
    return "all held-out specimens", e.patch, e.noise, ""


def _by_specimen_and_dose(e: Example) -> tuple[str, str, str, str]:
    dose = next(name for low, high, name in DOSES if low <= e.peak < high)
    return e.specimen, e.patch, e.noise, dose


def print_row(net: UtilityNet, group: tuple[str, str, str, str], rows: Sequence[Example]) -> None:
    """Print means over examples; the CNN and the plain rule in dB relative to the best choice."""
    score = [utilities(net, e) for e in rows]
    kept = [choose(u) for u in score]
    label = np.concatenate([e.label for e in rows])
    best = np.array([e.psnr(e.label) for e in rows])
    cnn = np.array([e.psnr(k) for e, k in zip(rows, kept, strict=True)])
    plain = np.array([e.psnr(e.plain) for e in rows])
    print(
        f"{group[0]:24s} {group[1]:5s} {group[2]:8s} {group[3]:9s} {len(rows):3d} "
        f"{np.mean(np.concatenate(kept) == label):8.3f} "
        f"{area_under_curve(np.concatenate(score), label):5.3f} {best.mean():8.2f} "
        f"{(cnn - best).mean():6.2f} {(plain - best).mean():6.2f}"
    )
