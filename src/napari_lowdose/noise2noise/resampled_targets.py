"""Targets of a training whose two exposures differ by an affine map, as behind a beamsplitter.

The input of the network is always raw.  The target may be interpolated: this smooths its noise,
which stays independent of the noise of the input, as Noise2Noise needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lowdose.noise2noise.training_data import TrainingPairs

_WHOLE = 0.999  # least share of a resampled pixel that comes from pixels used for training


class Targets(NamedTuple):
    """Targets on the pixels of their inputs.

    Attributes
    ----------
    partners : (P, 2, Y, X) float32 array
        At 0 the second exposure of each pair on the pixels of the first, at 1 the other way round.
    seen : (P, 2, Y, X) bool array
        Pixels used for training: those where neither the input nor the target is held out.
    """

    partners: NDArray[np.float32]
    seen: NDArray[np.bool_]


def resampled_targets(pairs: TrainingPairs) -> Targets:
    """Resample each exposure onto the pixels of its partner.

    Parameters
    ----------
    pairs : TrainingPairs
        Pairs with a `view_map`.

    Returns
    -------
    Targets
    """
    assert pairs.view_map is not None
    partners = np.empty_like(pairs.exposures)
    seen = np.empty(pairs.exposures.shape, bool)
    for at, view_map in enumerate((pairs.view_map, pairs.view_map.inverse)):
        partners[:, at] = view_map.resample(pairs.exposures[:, 1 - at])
        there = view_map.resample(pairs.seen, order=1) > _WHOLE
        seen[:, at] = pairs.seen & there & view_map.inside(pairs.seen.shape)
    return Targets(partners, seen)
