"""Train the dense layers of the classifier further, without forgetting.

The convolutions stay as they are: ten or so answers cannot teach them.  The dense layers have 561
weights.  The loss is the cross-entropy of the utilities of the lessons, plus that of the utilities
that the shipped classifier gives to eigenpatches of its own training (`replay`), plus the
distance to the shipped weights.  Without lessons, the shipped weights are its minimum.  All data
fit into one batch, so that L-BFGS finds the minimum in a second, without a learning rate or chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from napari_lowdose.blas import one_blas_thread
from napari_lowdose.reucid.classifier_file import SHAPES

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from napari_lowdose.reucid.classifier_file import Weights
    from napari_lowdose.reucid.teaching.lesson import Lesson

    Vector = NDArray[np.float64]

DENSE = ("fc3.weight", "fc3.bias", "fc4.weight", "fc4.bias", "out.weight", "out.bias")
REPLAY = 1.0  # weight of the replayed eigenpatches, relative to that of the lessons
ANCHOR = 1e-3  # weight of the squared distance to the shipped weights
ITERATIONS = 100
AT_A_TIME = 25  # iterations between two progress reports


def fine_tune(
    shipped: Weights, lessons: Sequence[Lesson], replayed: NDArray[np.float32]
) -> Generator[float, None, Weights]:
    """Train the classifier on lessons; the same lessons give the same weights.

    Parameters
    ----------
    shipped : dict of arrays
        Weights to start from.
    lessons : sequence of Lesson
        Every image counts the same.
    replayed : (2, n, 16) float32 array
        What the dense layers see of eigenpatches of the training, for both signs.

    Yields
    ------
    float
        Fraction of the work that is done.

    Returns
    -------
    dict of arrays
    """
    start = np.concatenate([shipped[name].ravel() for name in DENSE]).astype(np.float64)
    batches = [(replayed, _utilities(start, replayed), np.full(replayed.shape[1], REPLAY))]
    for lesson in lessons:
        if (total := float(np.sum(lesson.weights))) > 0:
            seen = lesson.seen(shipped)
            n = len(lesson.utilities)
            # Each mirror image on its own, the two signs together, as in the classifier
            pairs = seen.reshape(4, 2, n, -1).swapaxes(0, 1).reshape(2, 4 * n, -1)
            share = lesson.weights / (total * len(lessons)) * pairs.shape[1] / 4
            batches.append((pairs, np.tile(lesson.utilities, 4), np.tile(share, 4)))

    def loss(dense: Vector) -> tuple[float, Vector]:
        value, gradient = ANCHOR * float(np.sum((dense - start) ** 2)), 2 * ANCHOR * (dense - start)
        for seen, utilities, weights in batches:
            part, slope = _entropy(dense, seen, utilities, weights)
            value += part
            gradient = gradient + slope
        return value, gradient

    dense = start
    for done in range(0, ITERATIONS, AT_A_TIME):
        yield done / ITERATIONS
        with one_blas_thread():
            found = scipy.optimize.minimize(
                loss, dense, jac=True, method="L-BFGS-B", options={"maxiter": AT_A_TIME}
            )
        dense = found.x
        if found.success:
            break
    yield 1.0
    return {**shipped, **{k: v.astype(np.float32) for k, v in _layers(dense).items()}}


def _layers(dense: Vector) -> dict[str, Vector]:
    """Return a vector of weights as the arrays of the dense layers."""
    sizes = [int(np.prod(SHAPES[name])) for name in DENSE]
    parts = np.split(dense, np.cumsum(sizes)[:-1])
    return {name: part.reshape(SHAPES[name]) for name, part in zip(DENSE, parts, strict=True)}


def _utilities(dense: Vector, seen: NDArray[np.float32]) -> Vector:
    """Return the utility of each eigenpatch, (n,), for the mean output of both signs."""
    return np.asarray(scipy.special.expit(_forward(_layers(dense), seen.reshape(-1, 16))[-1]
                      .reshape(2, -1).mean(axis=0)))  # fmt: skip


def _forward(layers: dict[str, Vector], x: NDArray[Any]) -> tuple[Vector, Vector, Vector]:
    """Return the outputs of the three dense layers."""
    first = _elu(x @ layers["fc3.weight"].T + layers["fc3.bias"])
    second = _elu(first @ layers["fc4.weight"].T + layers["fc4.bias"])
    return first, second, (second @ layers["out.weight"].T + layers["out.bias"])[:, 0]


def _entropy(
    dense: Vector, seen: NDArray[np.float32], utilities: Vector, weights: Vector
) -> tuple[float, Vector]:
    """Return the mean weighted cross-entropy and its gradient."""
    layers, x = _layers(dense), seen.reshape(-1, 16)
    first, second, out = _forward(layers, x)
    logit = out.reshape(2, -1).mean(axis=0)
    n = len(utilities)
    value = float(np.sum(weights * (np.logaddexp(0, logit) - utilities * logit))) / n
    slope = np.tile(weights * (scipy.special.expit(logit) - utilities) / (2 * n), 2)[:, None]
    # Backwards: the slope of ELU is 1 above zero, and 1 more than its value below.
    to_second = (slope @ layers["out.weight"]) * (1 + np.minimum(second, 0))
    to_first = (to_second @ layers["fc4.weight"]) * (1 + np.minimum(first, 0))
    gradient = [
        *(to_first.T @ x, to_first.sum(axis=0)),
        *(to_second.T @ first, to_second.sum(axis=0)),
        *(slope.T @ second, slope.sum(axis=0)),
    ]
    return value, np.concatenate([each.ravel() for each in gradient])


def _elu(x: Vector) -> Vector:
    return np.asarray(np.where(x > 0, x, np.expm1(np.minimum(x, 0))))
