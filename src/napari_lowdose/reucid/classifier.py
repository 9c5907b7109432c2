"""Eigenpatch classification: a tiny CNN says which eigenpatches are worth keeping.

It sees eigenpatches and singular values, never the image, and answers with one number
each.  The network is Fig. 3 of the paper; so few weights need no deep-learning library
to run.  ``training/`` at the root of the repository makes the weights.
"""

from __future__ import annotations

import warnings
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
import scipy

if TYPE_CHECKING:
    from numpy.typing import NDArray

INPUT_SIZE = 25  # pixels: what eigenpatches are interpolated to
# The utility above which an eigenpatch is kept.  Keeping pays from one half on, in squared error;
# but noise that is left can be seen, and structure that is lost cannot.
USEFUL = 0.3

Weights = dict[str, "NDArray[np.float32]"]


def prepare(eigenpatches: NDArray[np.floating]) -> NDArray[np.float32]:
    """Interpolate eigenpatches to 25 x 25 pixels of unit mean square.

    Parameters
    ----------
    eigenpatches : (k, p, p) array
        Of unit norm.

    Returns
    -------
    (k, 25, 25) float32 array
    """
    p = eigenpatches.shape[-1]
    zoom = (1, INPUT_SIZE / p, INPUT_SIZE / p)
    resampled: NDArray[np.float32] = scipy.ndimage.zoom(
        np.asarray(eigenpatches, np.float32) * p, zoom, order=1
    )
    return resampled


def normalise(singular_values: NDArray[np.floating], noise_floor: float) -> NDArray[np.float32]:
    """Return singular values relative to the noise floor of their decomposition.

    As natural logarithm: 0 is as strong as white noise.  (The paper normalises to the
    largest, which says nothing of the noise: measured in ``docs/training.md``.)
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
    """Rate each eigenpatch: 1 is worth keeping, 0 is noise.

    An SVD leaves the sign of each eigenpatch free: both signs are asked and the answers
    averaged, so that the sign cannot matter.

    Parameters
    ----------
    eigenpatches : (k, p, p) array
    singular_values : (k,) array
    noise_floor : float
        The singular value of pure noise.
    weights : dict of arrays
        As from `load_weights`.

    Returns
    -------
    (k,) float32 array, 0 to 1
    """
    patches = prepare(eigenpatches)
    values = normalise(singular_values, noise_floor)
    logit = (forward(patches, values, weights) + forward(-patches, values, weights)) / 2
    return scipy.special.expit(logit)  # type: ignore[no-any-return]


def choose(utilities: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Keep the eigenpatches that are called useful: at least one is always kept."""
    kept: NDArray[np.bool_] = utilities > USEFUL
    kept[utilities.argmax()] = True
    return kept


def warn_of_choice(utilities: NDArray[np.float32]) -> None:
    """Warn where the choice among the eigenpatches may mislead: none, or all, are useful."""
    useful = utilities > USEFUL
    if not useful.any():
        warnings.warn(
            "no eigenpatch looks like structure: only the strongest is kept, and the result shows "
            "nothing that can be told from noise.",
            UserWarning,
            stacklevel=2,
        )
    elif useful.all():
        warnings.warn(
            f"all {len(useful)} eigenpatches look useful, so finer structure may have been cut "
            "off: raise n_components, or use a smaller patch.",
            UserWarning,
            stacklevel=2,
        )


def forward(
    patches: NDArray[np.float32], values: NDArray[np.float32], weights: Weights
) -> NDArray[np.float32]:
    """Run the CNN of Fig. 3 up to, but without, the sigmoid.

    Parameters
    ----------
    patches : (k, 25, 25) float32 array
    values : (k,) float32 array
        Normalised singular values.
    weights : dict of arrays
        PyTorch's names and layouts: ``conv1.weight`` (14, 1, 5, 5), ...

    Returns
    -------
    (k,) float32 array
    """
    x = patches[..., None]  # (k, 25, 25, 1)
    # Pooling before ELU gives the same, as ELU never falls, for a quarter of the work.
    x = _elu(_max_pool(_convolve(x, weights["conv1.weight"], weights["conv1.bias"])))  # 11, 11, 14
    x = _elu(_max_pool(_convolve(x, weights["conv2.weight"], weights["conv2.bias"])))  # 5, 5, 15
    x = np.concatenate([x.mean(axis=(1, 2)), values[:, None]], axis=1)  # (k, 16)
    for layer in ("fc3", "fc4"):
        x = _elu(x @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"])  # (k, 16)
    return (x @ weights["out.weight"].T + weights["out.bias"])[:, 0]


@cache
def load_weights(scan_noise: str) -> Weights:
    """Load the shipped weights for ``"remove"`` or ``"keep"`` scan noise."""
    from safetensors.numpy import load

    everything = load(files(__package__).joinpath("classifier.safetensors").read_bytes())
    prefix = f"{scan_noise}."
    return {k.removeprefix(prefix): v for k, v in everything.items() if k.startswith(prefix)}


def _convolve(
    x: NDArray[np.float32], kernel: NDArray[np.float32], bias: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Convolve with stride 1 and padding 1, as a matrix product: (k, h, w, c) -> (k, h', w', o)."""
    _, _, rows, columns = kernel.shape
    height, width = x.shape[1] + 3 - rows, x.shape[2] + 3 - columns
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [padded[:, i : i + height, j : j + width] for i in range(rows) for j in range(columns)]
    matrix = kernel.transpose(2, 3, 1, 0).reshape(-1, len(kernel))  # ((row, column, c), o)
    return np.concatenate(taps, axis=-1) @ matrix + bias


def _max_pool(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take the maximum over 2 x 2 pixels, stride 2; an odd last row or column is dropped."""
    x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
    x = np.maximum(x[:, ::2], x[:, 1::2])
    return np.maximum(x[:, :, ::2], x[:, :, 1::2])


def _elu(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))
