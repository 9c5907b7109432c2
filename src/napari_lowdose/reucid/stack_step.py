"""What REUCID yields after each patch stack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.engine import Step

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class StackStep(Step):
    """A patch stack is finished; `image` is the image reconstructed from all so far.

    Attributes
    ----------
    stack : int
        Which stack, from 0.
    n_stacks : int
        How many there are.
    patch_size : int
        Width p of a patch, pixels.
    wide : bool
        Whether that is wider than the PSF: what occurs only once may be weakened.
    eigenpatches : (k, p, p) float32 array
        Of unit norm.
    singular_values : (k,) float64 array
        Descending; in units of the image's standard deviation.
    noise_floor : float
        The singular value that pure white noise would have.
    utilities : (k,) float32 array
        The classifier's verdicts: 1 is worth keeping, 0 is noise.
    kept : (k,) bool array
        Which eigenpatches are in the sum.
    n_outliers : int
        Pixels of the frame that were left out: cosmic rays, hot pixels, dead pixels.
    """

    stack: int
    n_stacks: int
    patch_size: int
    wide: bool = False
    eigenpatches: NDArray[np.float32]
    singular_values: NDArray[np.float64]
    noise_floor: float
    utilities: NDArray[np.float32]
    kept: NDArray[np.bool_]
    n_outliers: int = 0

    def record(self) -> dict[str, Any]:
        """Return which eigenpatches were kept, of which patch size."""
        return {
            "stack": self.stack,
            "n_stacks": self.n_stacks,
            "patch_size": self.patch_size,
            "wide": self.wide,
            "kept": np.flatnonzero(self.kept).tolist(),
            "n_outliers": self.n_outliers,
        }
