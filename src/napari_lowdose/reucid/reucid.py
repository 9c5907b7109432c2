"""Algorithm 1 of the paper: REUCID, stage after stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from napari_lowdose.imaging.frames import check_frame, check_image
from napari_lowdose.reucid.classifier import choose, load_weights, utility
from napari_lowdose.reucid.eigenpatches import decompose, sample_size
from napari_lowdose.reucid.memory_plan import plan_stacks
from napari_lowdose.reucid.patch_size import WIDTHS, choose_patch_size
from napari_lowdose.reucid.patch_stacks import assign_stacks
from napari_lowdose.reucid.projection import project
from napari_lowdose.reucid.terrain import patch_terrain
from napari_lowdose.steps import Step, drain, over_frames, report

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numpy.typing import NDArray

PatchSize = Literal["auto", "psf", "wide"]
ScanNoise = Literal["remove", "keep"]

SEARCH = 0.5  # the fraction of the work that choosing the patch size "auto" is, about


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
    """

    stack: int
    n_stacks: int
    patch_size: int
    eigenpatches: NDArray[np.float32]
    singular_values: NDArray[np.float64]
    noise_floor: float
    utilities: NDArray[np.float32]
    kept: NDArray[np.bool_]

    def record(self) -> dict[str, Any]:
        """Return which eigenpatches were kept, of which patch size."""
        return {
            "stack": self.stack,
            "n_stacks": self.n_stacks,
            "patch_size": self.patch_size,
            "kept": np.flatnonzero(self.kept).tolist(),
        }


@dataclass(frozen=True)
class Reucid:
    """REUCID: denoise one image by itself, without inventing structure.

    Patches as wide as the PSF are expressed in the eigenpatches of their stack (an SVD), a
    tiny network says which eigenpatches are worth keeping, and the image is put together
    from those alone.  No network touches a pixel.

    Parameters
    ----------
    patch_size : "auto", "psf", "wide" or int
        Width of a patch in pixels, odd.  "psf" is the paper's: the width of the PSF as the
        image's autocorrelation shows it.  "wide" is three times that, which averages over
        more repeats.  "auto" takes the wide one where it denoises better.
    n_stacks : int, optional
        Number of patch stacks; after each there is an interim image.  By default as few as
        fit into the memory.
    memory_limit : int, optional
        Memory that may be used, bytes; by default a quarter of what is available.
    n_components : int
        Rank of the SVD of a patch stack; three times as many for a wide patch.
    keep : int, sequence of int, or sequence of those, optional
        Overrides the classifier: how many of the leading eigenpatches every stack keeps, or
        their indices (from 0), which need one stack, or a sequence of indices for each
        stack.
    scan_noise : "remove" or "keep"
        Whether the offset of one scan row against the next is noise, or data.
    exact : bool
        Whether the SVD of several stacks looks at every patch.  By default it looks at no
        more than 16384 of each stack.  With one stack of patches up to 49 wide it is always exact.
    seed : int
        Of every random choice: same seed, same result.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    References
    ----------
    M. A. J. Mitchell, S. Sanvito and L. Jones, "Rapid eigenpatch utility classifier for image
    denoising", Scientific Reports 15 (2025), Algorithm 1.

    Examples
    --------
    Five patch stacks, five interim images:

    >>> import numpy as np
    >>> noisy = np.random.default_rng(0).poisson(9, (64, 64))
    >>> for step in Reucid(patch_size=9, n_stacks=5).steps(noisy):
    ...     if isinstance(step, StackStep):
    ...         print(f"{step.fraction:.0%}", step.image.shape, step.eigenpatches.shape)
    20% (64, 64) (25, 9, 9)
    40% (64, 64) (25, 9, 9)
    60% (64, 64) (25, 9, 9)
    80% (64, 64) (25, 9, 9)
    100% (64, 64) (25, 9, 9)
    """

    patch_size: PatchSize | int = "auto"
    n_stacks: int | None = None
    memory_limit: int | None = None
    n_components: int = 25
    keep: int | Sequence[int] | Sequence[Sequence[int]] | None = None
    scan_noise: ScanNoise = "remove"
    exact: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        p = self.patch_size
        if isinstance(p, str):
            if p not in get_args(PatchSize):
                raise ValueError(
                    f'patch_size is "auto", "psf", "wide" or a number of pixels, not "{p}".'
                )
        elif p < 3 or p % 2 == 0:
            raise ValueError(
                f"patch_size is {p}, but a patch has a middle pixel: use an odd number of at "
                f"least 3, for example {max(3, p + 1 if p % 2 == 0 else 3)}."
            )
        if self.n_stacks is not None and self.n_stacks < 1:
            raise ValueError(f"n_stacks is {self.n_stacks}: use 1 or more, or None.")
        if self.memory_limit is not None and self.memory_limit < 1:
            raise ValueError(f"memory_limit is {self.memory_limit}: use 1 or more bytes, or None.")
        if self.n_components < 1:
            raise ValueError(f"n_components is {self.n_components}: use 1 or more.")
        if self.scan_noise not in get_args(ScanNoise):
            raise ValueError(f'scan_noise is "remove" or "keep", not "{self.scan_noise}".')
        self._check_keep()

    def steps(self, image: Any) -> Iterator[Step]:
        """Denoise an image, or each frame of a stack of frames, patch stack by patch stack.

        Parameters
        ----------
        image : (..., Y, X) array
            Any integer or floating dtype; denoised frame by frame over the last two axes.

        Yields
        ------
        StackStep
            After each patch stack, with the interim image; the last is the answer.
        Step
            In between, without an image.

        Raises
        ------
        ValueError
            If the image cannot be denoised as it is, or the memory does not suffice.
        """
        check_image(image)
        yield from over_frames(image, self._frame_steps)

    def _frame_steps(self, frame: NDArray[Any]) -> Iterator[Step]:
        check_frame(frame, 3 if isinstance(self.patch_size, str) else self.patch_size)
        offset, scale, image = standardise(frame)
        begun = SEARCH if self.patch_size == "auto" else 0.0
        p, n_components = yield from self._patch_size(image, begun)
        d = self._n_stacks(image.shape, p)
        stack_of = assign_stacks(image.shape, p, d, self.seed)
        canvas = np.zeros_like(image)
        terrain = np.zeros(image.shape, np.int32)
        weights = load_weights(self.scan_noise)
        for stack in range(d):
            in_stack = stack_of == stack
            name = f"stack {stack + 1} of {d}"
            begin, middle, end = (
                begun + (1 - begun) * (stack + part) / d for part in (0.0, 0.5, 1.0)
            )
            svd = decompose(image, in_stack, p, n_components, exact=self.exact, seed=self.seed)
            values, eigenpatches, floor = yield from report(svd, begin, middle, f"{name}: SVD")
            utilities = utility(eigenpatches, values, floor, weights)
            kept = self._choose(utilities, stack)
            placed = project(image, eigenpatches[kept], in_stack)
            canvas += yield from report(placed, middle, end, f"{name}: reconstruction")
            terrain += patch_terrain(in_stack, p)
            yield StackStep(
                fraction=end,
                message=f"{name}: patches of {p} px, {kept.sum()} of {len(kept)} eigenpatches kept",
                image=reconstruct(canvas, terrain, offset, scale, frame),
                stack=stack,
                n_stacks=d,
                patch_size=p,
                eigenpatches=eigenpatches,
                singular_values=values,
                noise_floor=floor,
                utilities=utilities,
                kept=kept,
            )

    def rebuild(self, frame: NDArray[Any], stacks: Sequence[StackStep]) -> NDArray[np.float32]:
        """Put a frame together again from other eigenpatches, without a new SVD.

        Parameters
        ----------
        frame : (Y, X) array
            The frame that `stacks` came from.
        stacks : sequence of StackStep
            With the `kept` that is wanted (``dataclasses.replace(step, kept=...)``).

        Returns
        -------
        (Y, X) float32 array
        """
        offset, scale, image = standardise(frame)
        p, d = stacks[0].patch_size, stacks[0].n_stacks
        stack_of = assign_stacks(image.shape, p, d, self.seed)
        canvas = np.zeros_like(image)
        terrain = np.zeros(image.shape, np.int32)
        for step in stacks:
            in_stack = stack_of == step.stack
            canvas += drain(project(image, step.eigenpatches[step.kept], in_stack))
            terrain += patch_terrain(in_stack, p)
        return reconstruct(canvas, terrain, offset, scale, frame)

    def _check_keep(self) -> None:
        if self.keep is None:
            return
        if isinstance(self.keep, int):
            most = self.n_components * (WIDTHS if self.patch_size in ("auto", "wide") else 1)
            if not 1 <= self.keep <= most:
                raise ValueError(
                    f"keep is {self.keep}: keep from 1 to {most} eigenpatches, as many as "
                    f"n_components={self.n_components} gives, or raise n_components."
                )
            return
        if not len(self.keep):
            raise ValueError("keep is empty: keep at least one eigenpatch.")
        per_stack = not isinstance(self.keep[0], int | np.integer)
        wanted = len(self.keep) if per_stack else 1
        if self.n_stacks not in (None, wanted):
            raise ValueError(
                f"keep names eigenpatches for {wanted} stack{'s' * (wanted > 1)}, and those of "
                f"one stack are not those of another: set n_stacks={wanted}."
            )

    def _patch_size(
        self, image: NDArray[np.float32], end: float
    ) -> Generator[Step, None, tuple[int, int]]:
        """Return the width of a patch and the rank that goes with it."""
        if isinstance(self.patch_size, int):
            return self.patch_size, self.n_components
        search = choose_patch_size(
            image, self.patch_size, self.n_components, self.scan_noise, self.seed
        )
        p, n_components = yield from report(search, 0.0, end, "patch size")
        return p, n_components

    def _n_stacks(self, shape: tuple[int, int], patch_size: int) -> int:
        if isinstance(self.keep, Sequence):
            return len(self.keep) if isinstance(self.keep[0], Sequence) else 1
        most = None if self.exact else sample_size(patch_size)
        planned = plan_stacks(shape, patch_size, self.memory_limit, most)
        return self.n_stacks or planned

    def _choose(self, utilities: NDArray[np.float32], stack: int) -> NDArray[np.bool_]:
        """Return which eigenpatches of a stack are kept: at least one."""
        if self.keep is None:
            return choose(utilities)
        kept = np.zeros(len(utilities), bool)
        if isinstance(self.keep, int):
            kept[: self.keep] = True
            return kept
        chosen = self.keep[stack] if isinstance(self.keep[0], Sequence) else self.keep
        indices = np.asarray(chosen, int)
        if not indices.size or indices.min() < 0 or indices.max() >= len(kept):
            raise ValueError(
                f"keep is {list(indices)}: use indices from 0 to {len(kept) - 1}, at least one."
            )
        kept[indices] = True
        return kept


def standardise(frame: NDArray[Any]) -> tuple[float, float, NDArray[np.float32]]:
    """Take a constant off, so that a camera's offset cannot matter, and scale to unit power.

    Parameters
    ----------
    frame : (Y, X) array

    Returns
    -------
    offset, scale : float
        `frame` is ``image * scale + offset``.
    image : (Y, X) float32 array
    """
    offset = float(frame.mean(dtype=np.float64))
    image = np.empty(frame.shape, np.float32)
    np.subtract(frame, offset, out=image, casting="same_kind")
    scale = float(np.sqrt(np.square(image).mean(dtype=np.float64)))
    image /= scale
    return offset, scale, image


def reconstruct(
    canvas: NDArray[np.float32],
    terrain: NDArray[np.int32],
    offset: float,
    scale: float,
    frame: NDArray[Any],
) -> NDArray[np.float32]:
    """Divide the canvas by the patch terrain; pixels that nothing covers show the input."""
    image = np.divide(canvas, terrain, out=np.zeros_like(canvas), where=terrain > 0)
    image *= scale
    image += offset
    return np.where(terrain > 0, image, frame).astype(np.float32, copy=False)
