"""REUCID with eigenpatches that are known from an earlier frame: a single convolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.blas import one_blas_thread
from napari_lowdose.engine import run_to_end
from napari_lowdose.reucid.kernel import convolve
from napari_lowdose.reucid.prepared import prepare

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lowdose.reucid.reucid import Reucid


@dataclass(frozen=True, eq=False)
class KnownEigenpatches:
    """Eigenpatches of a frame, to denoise others like it.

    Parameters
    ----------
    engine : Reucid
    eigenpatches : (k, p, p) float32 array
        The kept ones.
    wide : bool
        True if the patches are wider than the PSF.
    """

    engine: Reucid
    eigenpatches: NDArray[np.float32]
    wide: bool

    @property
    def patch_size(self) -> int:
        """Width of a patch, pixels."""
        return int(self.eigenpatches.shape[-1])

    def denoise(self, frame: NDArray[Any]) -> tuple[NDArray[np.float32], float]:
        """Denoise a frame.

        Parameters
        ----------
        frame : (Y, X) array

        Returns
        -------
        image : (Y, X) float32 array
            In the units of the frame.
        share : float
            Share of the power of the frame that the eigenpatches explain, 0 to 1.
        """
        prepared = prepare(frame)
        across = self.engine.scan_noise == "columns"
        image = prepared.image.T if across else prepared.image
        with one_blas_thread():
            result = run_to_end(convolve(np.ascontiguousarray(image), self.eigenpatches))
        share = float(np.vdot(image, result)) / image.size
        return prepared.rescale(result.T.copy() if across else result, self.engine.outliers), share
