"""Refuse pairs with which a network with context would see its own target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.frames import spread_over
from napari_lowdose.noise2noise.context import central_part, neighbours_within
from napari_lowdose.noise2noise.valid_pixels import standardise

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_FRAMES = 5  # evenly spread over the movie
# Of the phase correlation.  The same frame, also shifted by whole pixels, gives almost 1; two
# exposures of the same scene only as much as the share of frequencies that have little noise.
_SAME_NOISE = 0.7


def refuse_context(
    first: Any,
    second: Any,
    context: int,
    channel_axis: int | None = None,
    *,
    one_scene: bool = False,
) -> None:
    """Raise an error if the two exposures cannot be trained on with context.

    Parameters
    ----------
    first, second : (..., Y, X) arrays
        The two exposures; the first axis is time.
    context : int
        Number of frames before and after each.
    channel_axis : int, optional
        Axis of channels with a network each.
    one_scene : bool
        Whether all pairs are divisions of one image.

    Raises
    ------
    ValueError
        If the first axis is not time, or if a neighbour of a frame is the partner of that frame,
        as in the pairs of neighbouring frames of one movie.
    """
    n_frames = first.shape[0] if first.ndim > 2 else 1
    if one_scene or n_frames < 2:
        raise ValueError(
            f"context={context} needs movies of several frames, and this is a single pair: train "
            "with context=0."
        )
    if channel_axis == 0:
        raise ValueError(
            "the first axis of the pair is that of its channels, and context needs time there: "
            "move the channels behind it, to (T, C, Y, X), or train with context=0."
        )
    for t, *rest in spread_over(first.shape[:-2], _MOST_FRAMES):
        for other in neighbours_within(t, n_frames, context):
            for inputs, targets in ((first, second), (second, first)):
                if _same_noise(
                    *(np.asarray(e[k, *rest]) for e, k in ((inputs, other), (targets, t)))
                ):
                    raise ValueError(
                        "the partner of a frame is also one of its neighbours, as in pairs of "
                        "neighbouring frames of one movie, so that a network with context would "
                        "learn to return it: pair even with odd frames, (movie[::2], "
                        "movie[1::2]), or train with context=0."
                    )


def _same_noise(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Return whether two frames hold the same noise, possibly shifted by whole pixels."""
    from scipy.fft import irfft2, rfft2

    spectra = []
    for frame in (one, other):
        if not np.isfinite(frame).all():
            return False
        image = standardise(central_part(frame)).image
        if not image.any():
            return False
        spectra.append(rfft2(image))
    cross = spectra[0] * spectra[1].conj()
    size = np.abs(cross)
    phases = np.divide(cross, size, out=np.zeros_like(cross), where=size > 0)
    return bool(irfft2(phases).max() > _SAME_NOISE)
