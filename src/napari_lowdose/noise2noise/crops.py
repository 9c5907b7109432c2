"""Random crops of the pairs, in random orientations, first and second swapped at random."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


class Crops(NamedTuple):
    """A batch.

    Attributes
    ----------
    inputs, partners : (B, 1, crop, crop) tensors
        One exposure of each crop, and the other.
    seen : (B, 1, crop, crop) tensor
        0 where the partner is held out, else 1.
    shifts : (B, 2) tensor
        How far the scene in the partner is displaced against the input, (dy, dx); on the CPU.
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
) -> Crops:
    """Draw a batch of crops.

    Parameters
    ----------
    exposures : (P, 2, Y, X) tensor
    seen : (P, Y, X) bool tensor
    shift : (float, float)
        Of second against first, pixels; follows every flip, rotation and swap.
    batch_size, crop_size : int
    rng : numpy.random.Generator
        Source of chance.
    """
    n_pairs, _, height, width = exposures.shape
    inputs, partners, weights, shifts = [], [], [], []
    for _ in range(batch_size):
        pair, y, x, turns, flip, swap = (
            int(rng.integers(n))
            for n in (n_pairs, height - crop_size + 1, width - crop_size + 1, 4, 2, 2)
        )
        at = (slice(y, y + crop_size), slice(x, x + crop_size))
        crop = torch.cat([exposures[pair, :, *at], seen[pair, None, *at].to(exposures.dtype)])
        dy, dx = shift
        if flip:
            crop, dx = crop.flip(-1), -dx
        for _ in range(turns):
            dy, dx = -dx, dy
        crop = torch.rot90(crop, turns, (-2, -1))
        if swap:
            dy, dx = -dy, -dx
        inputs.append(crop[swap : swap + 1])
        partners.append(crop[1 - swap : 2 - swap])
        weights.append(crop[2:])
        shifts.append((dy, dx))
    return Crops(
        torch.stack(inputs),
        torch.stack(partners),
        torch.stack(weights),
        torch.tensor(shifts),
    )
