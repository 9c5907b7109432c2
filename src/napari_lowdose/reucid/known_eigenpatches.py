"""REUCID with the eigenpatches of an earlier frame, for movies and live images.

With a single patch stack REUCID is a convolution with the kernel of its kept eigenpatches.  The
next frame of the same scene has the same eigenpatches but for the noise, and needs no SVD.  Whether
it still is the same scene is seen from the signal-to-noise ratios of the eigenpatches in a sample
of its patches.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_lowdose.blas import on_one_blas_thread, one_blas_thread
from napari_lowdose.engine import Engine, Step, report
from napari_lowdose.reucid.kernel import StackFilter
from napari_lowdose.reucid.patch_stacks import count_patches, extract_patches
from napari_lowdose.reucid.prepared import prepare_area
from napari_lowdose.reucid.stack_step import StackStep, stack_summary

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

SAMPLE = 2048  # patches from which the signal-to-noise ratios of a frame are measured
# Maximum change of the signal-to-noise ratios.  Of the simulated specimens in
# benchmarks/known_eigenpatches.py it is up to 0.17 for the same one that drifts by a third of the
# field, at least 0.39 for another one, and at least 0.46 for half or twice the dose.
MAX_CHANGE = 1 / 3


@dataclass(frozen=True, kw_only=True)
class KnownStep(Step):
    """Result of a frame, and how well the known eigenpatches fit it.

    Attributes
    ----------
    explained : float
        Fraction of the variance of the frame that the eigenpatches explain, 0 to 1.  The rest is
        noise, or structure that they do not describe.
    change : float
        Change of their signal-to-noise ratios since they were learnt; see
        `KnownEigenpatches.change`.
    share : float
        As `explained`, but from all pixels instead of a sample, for the comparison with the frames
        before: structure that no eigenpatch describes lowers it, too.
    """

    explained: float
    change: float
    share: float

    @property
    def suits(self) -> bool:
        """True if the eigenpatches fit the frame; otherwise learn new ones."""
        return self.change < MAX_CHANGE

    def record(self) -> dict[str, Any]:
        """Return how well the eigenpatches fit, JSON-ready."""
        return {"explained": self.explained, "change": self.change}


@dataclass(frozen=True, eq=False)
class KnownEigenpatches(Engine):
    """REUCID with eigenpatches that were learnt from another frame of the same scene.

    Every frame is convolved with the kernel of the kept eigenpatches.  For the frame they were
    learnt from, the result is that of `Reucid` with one stack.  Made by `Reucid.learn`.

    Parameters
    ----------
    stack : StackStep
        Step of a single stack, with the eigenpatches and the choice of those to keep.
    shape : (int, int)
        Shape of the frames, pixels.
    area : (slice, slice)
        Rows and columns with image.  The rest, such as an info bar, is left as it is.
    outliers : "remove" or "keep"
        Replace outliers by denoised values, or keep those of the input.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_lowdose import Reucid, denoise
    >>> rng = np.random.default_rng(0)
    >>> x = np.arange(96)
    >>> movie = [rng.poisson(9 + 6 * np.cos((x + shift) / 2), (96, 96)) for shift in range(3)]
    >>> known = Reucid(patch_size=9).learn(movie[0])
    >>> [known.suits(frame) for frame in movie]
    [True, True, True]
    >>> denoise(movie[2], known).shape
    (96, 96)
    >>> known.suits(rng.poisson(9 + 6 * np.cos(x[:, np.newaxis] / 3), (96, 96)))
    False
    """

    title = "REUCID, known eigenpatches"
    takes = "image"

    stack: StackStep
    shape: tuple[int, int]
    area: tuple[slice, slice]
    outliers: Literal["remove", "keep"] = "remove"

    @cached_property
    def eigenpatches(self) -> NDArray[np.float32]:
        """The kept eigenpatches, (k, p, p)."""
        return self.stack.eigenpatches[self.stack.kept]

    @property
    def size(self) -> tuple[int, bool]:
        """Width of a patch in pixels, and True if it is wider than the PSF; see `Reucid.learn`."""
        return self.stack.patch_size, self.stack.wide

    def frame_steps(self, *frames: NDArray[Any]) -> Iterator[Step]:
        """Denoise a frame.

        Parameters
        ----------
        *frames : (Y, X) array
            One frame, of any integer or floating dtype.

        Yields
        ------
        Step
            Progress, without an image.
        KnownStep
            The last step, with the result.

        Raises
        ------
        ValueError
            If the frame cannot be denoised, or has another shape.
        """
        (frame,) = frames
        yield from on_one_blas_thread(self._steps(frame))

    def _steps(self, frame: NDArray[Any]) -> Generator[Step, None, None]:
        self._check_shape(frame)
        prepared = prepare_area(frame, self.area)
        explained, change = self._fit(prepared.image)
        convolved = self._filter.convolve(prepared.image)
        result = yield from report(convolved, 0.2, 1.0, "known eigenpatches")
        share = float(np.vdot(prepared.image, result)) / result.size  # of unit power
        yield KnownStep(
            fraction=1.0,
            message=f"known eigenpatches: {explained:.0%} of the variance explained",
            image=prepared.rescale(result, self.outliers),
            explained=explained,
            change=change,
            share=share,
        )

    def explained(self, frame: NDArray[Any]) -> float:
        """Return the fraction of the variance of a frame that the eigenpatches explain, 0 to 1.

        Parameters
        ----------
        frame : (Y, X) array

        Returns
        -------
        float
            From a sample of patches.
        """
        return self._fit_frame(frame)[0]

    def change(self, frame: NDArray[Any]) -> float:
        """Return how much the signal-to-noise ratios of the eigenpatches have changed.

        The variance of the coefficients of an eigenpatch, relative to what no eigenpatch explains,
        is its signal-to-noise ratio.  It does not depend on brightness and offset of a frame, and
        not on its position in the scene, but on dose, lattice and focus.

        Parameters
        ----------
        frame : (Y, X) array

        Returns
        -------
        float
            Root mean square over the eigenpatches of the logarithm of the ratio now to the ratio
            when they were learnt.
        """
        return self._fit_frame(frame)[1]

    def suits(self, frame: NDArray[Any]) -> bool:
        """Return whether the eigenpatches fit a frame: the same scene at the same dose.

        Parameters
        ----------
        frame : (Y, X) array

        Returns
        -------
        bool
            False if new eigenpatches should be learnt, also if the shape of the frame has changed.
        """
        return frame.shape == self.shape and self.change(frame) < MAX_CHANGE

    def summary(self, records: Sequence[Mapping[str, Any]], model: Any) -> list[str]:
        """Summarise the patch size and the kept eigenpatches; see `Engine.summary`."""
        return stack_summary([{"index": (), **self.stack.record()}])

    def about(self) -> dict[str, Any]:
        """Return name, eigenpatches and versions; see `Engine.about`."""
        about = super().about()
        about["parameters"] |= self.stack.record()
        return about

    def _check_shape(self, frame: NDArray[Any]) -> None:
        if frame.shape != self.shape:
            raise ValueError(
                f"the frame has {frame.shape[0]} x {frame.shape[1]} pixels, and the eigenpatches "
                f"were learnt from {self.shape[0]} x {self.shape[1]}: learn them again."
            )

    def _fit_frame(self, frame: NDArray[Any]) -> tuple[float, float]:
        self._check_shape(frame)
        with one_blas_thread():
            return self._fit(prepare_area(frame, self.area).image)

    def _fit(self, image: NDArray[np.float32]) -> tuple[float, float]:
        """Return the explained fraction of the variance, and the change, of a prepared image."""
        k, p = self.eigenpatches.shape[:2]
        patches = extract_patches(image, p, self._sampled)
        energies = np.square(patches @ self.eigenpatches.reshape(k, -1).T).sum(axis=0)
        power = float(np.vdot(patches, patches))
        ratios = _to_noise(energies, power, p)
        change = np.sqrt(np.square(np.log(ratios / self._learnt_ratios)).mean())
        return float(energies.sum() / power), float(change)

    @cached_property
    def _filter(self) -> StackFilter:
        return StackFilter(self.eigenpatches)

    @cached_property
    def _sampled(self) -> NDArray[np.intp]:
        """Positions of the sampled patches."""
        rows, columns = (part.stop - part.start for part in self.area)
        n_patches = count_patches((rows, columns), self.stack.patch_size)
        if n_patches <= SAMPLE:
            return np.arange(n_patches)
        # Random: regular positions would be in step with a lattice.
        return np.random.default_rng(0).choice(n_patches, SAMPLE, replace=False)

    @cached_property
    def _learnt_ratios(self) -> NDArray[np.float64]:
        """Signal-to-noise ratio of each kept eigenpatch in the frame it was learnt from."""
        energies = np.square(self.stack.singular_values)
        rest = self.stack.patch_size**2 - len(energies)
        power = float(energies.sum()) + rest * self.stack.noise_floor**2
        return _to_noise(energies[self.stack.kept], power, self.stack.patch_size)


def _to_noise(energies: NDArray[Any], power: float, patch_size: int) -> NDArray[np.float64]:
    """Return energies relative to the mean of the other dimensions of a patch."""
    others = max(patch_size**2 - len(energies), 1)
    # Not 0, which has no logarithm
    least = float(np.finfo(np.float32).eps) * power
    noise = max((power - float(energies.sum())) / others, least)
    return np.asarray(np.maximum(energies, least) / noise, np.float64)
