"""An image with its eigenpatches, to reconstruct it with different numbers of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.blas import on_one_blas_thread
from napari_lowdose.reucid.reucid import Reucid
from napari_lowdose.reucid.stack_step import StackStep

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from napari_lowdose.engine import Step


@dataclass(frozen=True, eq=False)
class Decomposed:
    """An image that was decomposed once, as a single patch stack.

    Attributes
    ----------
    name : str
        Name of the image.  Images of one name are never split between learning and held-out data.
    frame : (Y, X) array
    engine : Reucid
        The engine that decomposed it.
    stack : StackStep
        Its eigenpatches, and what the classifier says of them.
    """

    name: str
    frame: NDArray[Any]
    engine: Reucid
    stack: StackStep

    @property
    def scanned(self) -> NDArray[np.float32]:
        """Eigenpatches as for the image scanned along rows, for which the classifier is trained."""
        patches = self.stack.eigenpatches
        return patches.swapaxes(-1, -2) if self.engine.scan_noise == "columns" else patches

    def reconstruct(self, kept: int | Sequence[int] | NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return the image from some of its eigenpatches.

        Parameters
        ----------
        kept : int, sequence of int or (k,) bool array
            Number of leading eigenpatches, indices or a mask.

        Returns
        -------
        (Y, X) float32 array
        """
        mask = np.zeros(len(self.stack.kept), bool)
        mask[np.arange(kept) if isinstance(kept, int) else kept] = True
        return self.engine.rebuild(self.frame, [replace(self.stack, kept=mask)])


def decompose_steps(
    frame: NDArray[Any],
    name: str,
    engine: Reucid | None = None,
    size: tuple[int, bool] | None = None,
) -> Generator[Step, None, Decomposed]:
    """Decompose an image step by step.

    Parameters
    ----------
    frame : (Y, X) array
    name : str
    engine : Reucid, optional
        Patch size, scan noise and classifier are used; the eigenpatches are always those of a
        single stack of all patches.
    size : (int, bool), optional
        Width of a patch, pixels, and True if it is wider than the PSF.  By default chosen for
        this image.

    Yields
    ------
    Step

    Returns
    -------
    Decomposed

    Raises
    ------
    ValueError
        If the image cannot be denoised.
    """
    plain = replace(
        engine or Reucid(), stacks="random", frames_together=1, n_stacks=1, keep=None,
        memory_limit=None,
    )  # fmt: skip
    stack = None
    for step in on_one_blas_thread(plain.steps_of_size(frame, size, warn=False)):
        if isinstance(step, StackStep):
            stack = replace(step, image=None)
        yield replace(step, image=None) if step.image is not None else step
    assert stack is not None  # a single stack ends with its step
    return Decomposed(name, frame, plain, stack)
