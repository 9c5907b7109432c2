"""Mean, contrast and noise of exposures: whether an image is like those of the training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def about_exposures(frame: NDArray[Any]) -> dict[str, float]:
    """Return mean, standard deviation and noise of a frame: what a network gets used to."""
    wide = frame[..., :: max(1, frame.shape[-1] // 1024)].astype(np.float64)
    # Differences of next neighbours down a column: mostly noise, at a low dose
    noise = np.median(np.abs(np.diff(wide, axis=-2))) / (0.6745 * math.sqrt(2))
    return {"mean": float(wide.mean()), "std": float(wide.std()), "noise": float(noise)}


def unlike(known: Mapping[str, float], frame: NDArray[Any]) -> Iterator[tuple[str, str]]:
    """Yield in what respect a frame is not like the exposures of the training, and a sentence."""
    if not known or not known["std"]:
        return
    here = about_exposures(frame)
    if abs(here["mean"] - known["mean"]) > 2 * known["std"]:
        yield (
            "offset",
            f"this image has a mean of {here['mean']:.4g}, the network was trained at "
            f"{known['mean']:.4g}: another offset or brightness, and the result may be wrong.",
        )
    if not known["noise"]:
        return
    # Channels, each in units of its own contrast, differ in noise
    noisier, least = (
        here["noise"] / (known.get(name) or known["noise"]) for name in ("noise", "least_noise")
    )
    times = noisier if noisier >= 2 else least
    if noisier >= 2 or least <= 0.5:
        yield (
            "noise",
            f"this image has {times:.2g} times the noise that the network was trained on: "
            "another dose or exposure; train a network for it.",
        )
