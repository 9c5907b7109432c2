"""Random crops of the training pairs, in random orientations and random order."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


class Crops(NamedTuple):
    """A batch of crops.

    Attributes
    ----------
    inputs : (B, F, crop, crop) tensor
        The exposure that is input to the network, with the frames around it.
    partners : (B, 1, crop, crop) tensor
        The other exposure, its target.
    seen : (B, 1, crop, crop) tensor
        Weight of each pixel in the loss: 1, or 0 if it is held out.
    shifts : (B, 2) tensor
        Shift of the scene in the partner against the input, (dy, dx) in pixels.  On the CPU.
    """

    inputs: Tensor
    partners: Tensor
    seen: Tensor
    shifts: Tensor


def draw_crops(
    exposures: Tensor,
    seen: Tensor,
    shift: tuple[float, float],
    batch_size: int,
    crop_size: int,
    rng: np.random.Generator,
    around: NDArray[np.int_] | None = None,
    targets: Tensor | None = None,
) -> Crops:
    """Draw a batch of random crops.

    Each crop is flipped, rotated by a multiple of 90° and swapped at random.  Swapping is possible
    because the two exposures have independent, identically distributed noise.

    Parameters
    ----------
    exposures : (N, 2, Y, X) tensor
        First and second exposure of each pair, normalised.
    seen : (N, Y, X) or, with targets, (N, 2, Y, X) bool tensor
        Pixels used for training.
    shift : (float, float)
        Shift of the second exposure against the first, (dy, dx) in pixels.  It is transformed with
        each crop.
    batch_size : int
        Number of crops.
    crop_size : int
        Side of a crop, pixels.
    rng : numpy.random.Generator
    around : (P, F) array of int, optional
        The pairs to draw from, in the middle, with the frames around them.  By default all,
        without context.
    targets : (N, 2, Y, X) tensor, optional
        The partner of each exposure, resampled onto its pixels.  By default, the exposures are
        their own partners.

    Returns
    -------
    Crops

    References
    ----------
    Pair paper (Yang et al. 2023), Eq. (3) and Fig. 1(a).
    """
    height, width = exposures.shape[-2:]
    if around is None:
        around = np.arange(len(exposures))[:, None]
    n_rows, n_frames = around.shape
    inputs, partners, weights, shifts = [], [], [], []
    for _ in range(batch_size):
        # Changing the number or order of these draws changes the result of every seed
        row, y, x, turns, flip, swap = (
            int(rng.integers(n))
            for n in (n_rows, height - crop_size + 1, width - crop_size + 1, 4, 2, 2)
        )
        at = (slice(y, y + crop_size), slice(x, x + crop_size))
        numbers = around[row].tolist()
        middle = numbers[n_frames // 2]
        frames = [exposures[k, swap, *at] for k in numbers]
        if targets is None:
            partner, weight = exposures[middle, 1 - swap, *at], seen[middle, *at]
        else:  # on the pixels of the input
            partner, weight = targets[middle, swap, *at], seen[middle, swap, *at]
        # Partner and weight are carried along as the last channels
        crop = torch.stack([*frames, partner, weight.to(exposures.dtype)])
        dy, dx = shift
        if flip:
            crop, dx = crop.flip(-1), -dx
        for _ in range(turns):  # the shift turns with the crop
            dy, dx = -dx, dy
        crop = torch.rot90(crop, turns, (-2, -1))
        if swap:  # now of the first exposure against the second
            dy, dx = -dy, -dx
        inputs.append(crop[:n_frames])
        partners.append(crop[n_frames : n_frames + 1])
        weights.append(crop[-1:])
        shifts.append((dy, dx))
    return Crops(
        torch.stack(inputs),
        torch.stack(partners),
        torch.stack(weights),
        torch.tensor(shifts),
    )
