"""Eigenpatch classification: a small CNN rates the utility of each eigenpatch.

Its input is an eigenpatch and its singular value, never the image, and its output is one number.
The network is that of Fig. 3 of the paper.  It is small enough to run in NumPy, without a
deep-learning library.  The weights are trained by ``training/`` in the repository.
"""

from __future__ import annotations

import os
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
import scipy

from napari_lowdose.reucid.classifier_file import read_classifier, read_networks
from napari_lowdose.warned import warn

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lowdose.reucid.classifier_file import Weights

INPUT_SIZE = 25  # size of the interpolated eigenpatches, pixels
# Eigenpatches above this utility are kept.  The threshold of the minimum squared error is 0.5.  A
# lower one is safer, because remaining noise is visible, but lost structure is not.
UTILITY_THRESHOLD = 0.3

BATCH = 25  # eigenpatches classified at a time


def prepare(eigenpatches: NDArray[np.floating]) -> NDArray[np.float32]:
    """Interpolate eigenpatches to 25 x 25 pixels of unit mean square.

    Parameters
    ----------
    eigenpatches : (k, p, p) array
        Eigenpatches of unit norm.

    Returns
    -------
    (k, 25, 25) float32 array
    """
    p = eigenpatches.shape[-1]
    # Linear interpolation between the pixels, as a matrix: the same for rows and columns
    at = np.linspace(0, p - 1, INPUT_SIZE)
    matrix = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(p))).astype(np.float32)
    resampled: NDArray[np.float32] = matrix @ (np.asarray(eigenpatches, np.float32) * p) @ matrix.T
    return resampled


def normalise(singular_values: NDArray[np.floating], noise_floor: float) -> NDArray[np.float32]:
    """Return the natural logarithm of singular values relative to the noise floor.

    The result is 0 for the strength of white noise.  The paper normalises to the largest singular
    value, which has no information on the noise; see the comparison in ``docs/training.md``.
    """
    tiny = np.finfo(np.float32).tiny
    ratio = np.maximum(singular_values, tiny) / max(noise_floor, tiny)
    return np.asarray(np.log(ratio), np.float32)


def utility(
    eigenpatches: NDArray[np.floating],
    singular_values: NDArray[np.floating],
    noise_floor: float,
    weights: Weights,
) -> NDArray[np.float32]:
    """Rate the utility of each eigenpatch, from 0 (noise) to 1 (structure).

    The sign of an eigenpatch is arbitrary in an SVD.  The outputs for both signs are averaged, so
    that the utility does not depend on it.

    Parameters
    ----------
    eigenpatches : (k, p, p) array
    singular_values : (k,) array
    noise_floor : float
        Singular value of pure noise.
    weights : dict of arrays
        Weights from `load_weights`.

    Returns
    -------
    (k,) float32 array, 0 to 1
    """
    patches = prepare(eigenpatches)
    values = normalise(singular_values, noise_floor)
    both = forward(patches, values, weights)
    return scipy.special.expit(both.mean(axis=0))  # type: ignore[no-any-return]


def choose(utilities: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return a mask of the useful eigenpatches; at least one is kept."""
    kept: NDArray[np.bool_] = utilities > UTILITY_THRESHOLD
    kept[utilities.argmax()] = True
    return kept


def warn_of_choice(utilities: NDArray[np.float32]) -> None:
    """Warn if none or all of the eigenpatches are useful, which may be misleading."""
    useful = utilities > UTILITY_THRESHOLD
    if not useful.any():
        warn(
            "no eigenpatch looks like structure: only the strongest is kept, and the result may "
            "show nothing but noise.",
            stacklevel=2,
        )
    elif useful.all():
        warn(
            f"all {len(useful)} eigenpatches look useful, so finer structure may have been cut "
            "off: raise n_components, or use a smaller patch.",
            stacklevel=2,
        )


def forward(
    patches: NDArray[np.float32], values: NDArray[np.float32], weights: Weights
) -> NDArray[np.float32]:
    """Run the CNN of Fig. 3 without the final sigmoid, for both signs of each eigenpatch.

    Parameters
    ----------
    patches : (k, 25, 25) float32 array
    values : (k,) float32 array
        Normalised singular values.
    weights : dict of arrays
        Names and layouts are those of PyTorch: ``conv1.weight`` (14, 1, 5, 5), ...

    Returns
    -------
    (2, k) float32 array
        Output for the eigenpatches, and for the eigenpatches times -1.
    """
    # A few at a time, so that the convolutions stay in the processor's cache
    parts = [slice(first, first + BATCH) for first in range(0, len(patches), BATCH)]
    outputs = [_forward(patches[part], values[part], weights) for part in parts]
    return np.concatenate(outputs, axis=1)


def _forward(
    patches: NDArray[np.float32], values: NDArray[np.float32], weights: Weights
) -> NDArray[np.float32]:
    return dense(features(patches, values, weights), weights).reshape(2, -1)


def features(
    patches: NDArray[np.float32], values: NDArray[np.float32], weights: Weights
) -> NDArray[np.float32]:
    """Run the convolutions of the CNN: what its dense layers see.

    Parameters
    ----------
    patches : (k, 25, 25) float32 array
    values : (k,) float32 array
        Normalised singular values.
    weights : dict of arrays

    Returns
    -------
    (2k, 16) float32 array
        Means of the 15 channels and the value, for the eigenpatches, and for those times -1.
    """
    # Channels come first.  Pooling before bias and ELU gives the same result, because both are
    # monotonic, at a quarter of the cost.  The first convolution of -x is that of x times -1.
    x = _convolve(patches[np.newaxis], weights["conv1.weight"])  # (14, k, 23, 23)
    x = np.concatenate([_pool(x, np.maximum), -_pool(x, np.minimum)], axis=1)  # (14, 2k, 11, 11)
    x = _elu(x + weights["conv1.bias"][:, None, None, None])
    x = _pool(_convolve(x, weights["conv2.weight"]), np.maximum)  # (15, 2k, 5, 5)
    x = _elu(x + weights["conv2.bias"][:, None, None, None])
    # Global average pooling, so that the position of a feature in the patch does not matter.
    return np.concatenate([x.mean(axis=(2, 3)), np.tile(values, 2)[None]]).T


def dense(x: NDArray[np.float32], weights: Weights) -> NDArray[np.float32]:
    """Run the dense layers of the CNN, without the final sigmoid: (n, 16) to (n,)."""
    for layer in ("fc3", "fc4"):
        x = _elu(x @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"])
    return (x @ weights["out.weight"].T + weights["out.bias"])[:, 0]


def load_weights(scan_noise: str, path: str | None = None) -> Weights:
    """Load the weights for ``"remove"`` or ``"keep"`` scan noise.

    Those for ``"columns"`` are those for ``"remove"``, for a transposed image.

    Parameters
    ----------
    scan_noise : "remove", "keep" or "columns"
    path : str, optional
        File of a classifier that was taught (`napari_lowdose.reucid.teaching`).  By default the
        weights of the package.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If the file has no weights of the classifier.
    """
    network = "keep" if scan_noise == "keep" else "remove"
    if path is None:
        return _shipped()[network]
    about = os.stat(path)  # a file that was saved again is read again
    return _from_file(path, about.st_mtime_ns, about.st_size)[network]


@cache
def _shipped() -> dict[str, Weights]:
    return read_networks(files(__package__).joinpath("classifier.safetensors").read_bytes())[0]


@lru_cache(maxsize=8)
def _from_file(path: str, modified: int, size: int) -> dict[str, Weights]:
    return read_classifier(path)[0]


def _convolve(x: NDArray[np.float32], kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Convolve with stride 1 and padding 1, as a matrix product: (c, k, h, w) -> (o, k, h', w')."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[2:], axis=(2, 3))
    result: NDArray[np.float32] = np.tensordot(kernel, windows, axes=([1, 2, 3], [0, 4, 5]))
    return result


def _pool(x: NDArray[np.float32], extreme: np.ufunc) -> NDArray[np.float32]:
    """Take the extreme of 2 x 2 pixels, stride 2; an odd last row or column is dropped."""
    x = x[..., : x.shape[-2] // 2 * 2, : x.shape[-1] // 2 * 2]
    x = extreme(x[..., ::2, :], x[..., 1::2, :])
    pooled: NDArray[np.float32] = extreme(x[..., ::2], x[..., 1::2])
    return pooled


def _elu(x: NDArray[np.float32]) -> NDArray[np.float32]:
    # exp, not the slower expm1: its rounding of 1e-7 does not matter here.
    return np.maximum(x, 0) + (np.exp(np.minimum(x, 0)) - np.float32(1))
