"""Mean, contrast and noise of an image, compared with those of the training images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def about_exposures(frame: NDArray[Any]) -> dict[str, float]:
    """Return the statistics of a frame by which it is compared with training images.

    Parameters
    ----------
    frame : (Y, X) array

    Returns
    -------
    dict
        "mean", "std" and "noise": mean, standard deviation, and standard deviation of the noise.
    """
    wide = frame[..., :: max(1, frame.shape[-1] // 1024)].astype(np.float64)
    # At a low dose, differences of vertical neighbours are mostly noise.  0.6745 is the median
    # absolute value of a standard normal variable.
    noise = np.median(np.abs(np.diff(wide, axis=-2))) / (0.6745 * math.sqrt(2))
    return {"mean": float(wide.mean()), "std": float(wide.std()), "noise": float(noise)}


def unlike(known: Mapping[str, float], frame: NDArray[Any]) -> Iterator[tuple[str, str]]:
    """Compare a frame with the training images.

    Parameters
    ----------
    known : mapping
        Statistics of the training images, from `about_exposures`.  Optionally "least_noise", if
        their noise varies.
    frame : (Y, X) array

    Yields
    ------
    kind : {"offset", "noise"}
    message : str
        A warning.
    """
    if not known or not known["std"]:
        return
    here = about_exposures(frame)
    if abs(here["mean"] - known["mean"]) > 2 * known["std"]:
        yield (
            "offset",
            f"this image has a mean of {here['mean']:.4g}, the training images had "
            f"{known['mean']:.4g}: offset or brightness differ, and the result may be wrong.",
        )
    if not known["noise"]:
        return
    # Channels are in units of their own contrast, so their noise differs: from least to largest
    noisier, least = (
        here["noise"] / (known.get(name) or known["noise"]) for name in ("noise", "least_noise")
    )
    times = noisier if noisier >= 2 else least
    if noisier >= 2 or least <= 0.5:
        yield (
            "noise",
            f"this image has {times:.2g} times the noise of the training images, because the dose "
            "or the exposure differs: train a network for it.",
        )
