"""REUCID, Algorithm 1 of the paper."""

from __future__ import annotations

import os  # noqa: TC003  (the command line reads types at run time)
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from napari_lowdose.blas import on_one_blas_thread, one_blas_thread
from napari_lowdose.engine import Engine, Neighbours, Step, map_yields, report, run_to_end
from napari_lowdose.frames import frame_name, is_constant, spread_over
from napari_lowdose.imaging.image_area import image_area
from napari_lowdose.imaging.image_checks import check_image
from napari_lowdose.parameters import flag, one_of, whole_number
from napari_lowdose.reucid.alike import AlikeStep, alike_steps
from napari_lowdose.reucid.classifier import choose, load_weights, utility, warn_of_choice
from napari_lowdose.reucid.classifier_file import classifier_path
from napari_lowdose.reucid.eigenpatches import decompose, sample_size
from napari_lowdose.reucid.keep import keep_choice
from napari_lowdose.reucid.kernel import convolve
from napari_lowdose.reucid.known_eigenpatches import KnownEigenpatches
from napari_lowdose.reucid.live_reucid import LiveReucid
from napari_lowdose.reucid.memory_plan import megabytes, plan_stacks
from napari_lowdose.reucid.noise_checks import check_noise
from napari_lowdose.reucid.noise_estimate import noise_of
from napari_lowdose.reucid.patch_size import WIDTHS, choose_patch_size, odd_width
from napari_lowdose.reucid.patch_stacks import (
    assign_stacks,
    check_patch_fits,
    check_stacks_full,
)
from napari_lowdose.reucid.prepared import Prepared, prepare, prepared_images
from napari_lowdose.reucid.projection import project
from napari_lowdose.reucid.row_offsets import remove_row_offsets
from napari_lowdose.reucid.stack_step import StackStep, stack_summary
from napari_lowdose.reucid.standard_error import random_error
from napari_lowdose.reucid.terrain import patch_terrain
from napari_lowdose.threads import beside
from napari_lowdose.warned import warn as warn_user

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from napari_lowdose.frames import ImageOrPair
    from napari_lowdose.reucid.classifier_file import Weights
    from napari_lowdose.reucid.noise_estimate import Pilot
    from napari_lowdose.reucid.standard_error import StandardError

PatchSize = Literal["auto", "psf", "wide"]
ScanNoise = Literal["remove", "keep", "columns"]
Outliers = Literal["remove", "keep"]
Stacks = Literal["random", "alike"]
Deviations = Literal["keep", "average"]

SEARCH = 0.5  # approximate fraction of the work spent on choosing the patch size "auto"
NOISE = 0.1  # likewise, on estimating the noise


@dataclass(frozen=True)
class Reucid(Engine):
    """REUCID: denoise a single image without inventing structure.

    The image is divided into overlapping patches.  An SVD finds the eigenpatches of each patch
    stack, a small neural network classifies them as structure or noise, and the image is
    reconstructed from the structure alone.  The network never processes pixels of the image.

    Parameters
    ----------
    patch_size : "auto", "psf", "wide" or int
        Width of a patch in pixels, odd.  "psf": width of the PSF, estimated from the
        autocorrelation of the image, as in the paper.  "wide": three times that width, which
        averages over more repeats of a periodic structure.  "auto": the wide patch where it
        denoises much better, otherwise the PSF width; with alike stacks always the PSF width.  All
        frames of a stack share one width, chosen from up to five evenly spaced frames.
    n_stacks : int, optional
        Number of patch stacks.  An interim image is shown after each.  By default the smallest
        number that fits into memory.  Not used with alike stacks.
    memory_limit : int, optional
        Maximum memory, bytes.  By default a quarter of the available memory.  Not used with alike
        stacks.
    n_components : int
        Rank of the SVD of a patch stack.  Wide patches use three times as many components.
    keep : int, sequence of int, or sequence of those, optional
        Eigenpatches to keep, instead of the choice of the classifier: the number of leading
        eigenpatches in every stack, their indices from 0 (requires a single stack), or one
        sequence of indices per stack.
    stacks : "random" or "alike"
        "random": stacks of random patches, the REUCID of the paper, which is a convolution.
        "alike": stacks of patches that look alike, which see more, above all where structure
        repeats.  The noise is estimated from the image.
    deviations : "keep" or "average"
        With alike stacks: sites that deviate significantly from the patches that look like them,
        such as vacancies and dopants.  "keep" restores them, at the noise of random stacks.
        "average" denoises most, and weakens them.
    frames_together : int
        With alike stacks of a movie: number of successive frames, along the first axis, whose
        patches are grouped together.  A frame is still denoised from its own pixels, so what moves
        leaves no trace.  More frames denoise more and take at least as many times as long.
    scan_noise : "remove", "keep" or "columns"
        Remove offsets between scan rows as noise, or keep them as data.  "columns" removes
        offsets between columns instead, such as those of a camera or a vertical scan.
    outliers : "remove" or "keep"
        Remove or keep isolated pixels that neither scene nor noise explains, such as cosmic rays,
        hot pixels and dead pixels.  They are always excluded from the patches.  "remove" replaces
        them with denoised values, "keep" restores their values from the input.
    classifier : path, optional
        File of a classifier that was taught on your own images; see
        `napari_lowdose.reucid.teaching`.  By default the one of the package.
    exact : bool
        Compute the SVD of several stacks from all patches.  By default at most 16384 patches of
        each stack are used.  The SVD of a single stack with patches up to 49 pixels wide is
        always exact.
    seed : int
        Seed of all random choices.  The same seed gives the same result.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    References
    ----------
    M. A. J. Mitchell, S. Sanvito and L. Jones, "Rapid eigenpatch utility classifier for image
    denoising", Scientific Reports 15 (2025), Algorithm 1.

    Examples
    --------
    Five patch stacks give five interim images:

    >>> import numpy as np
    >>> from napari_lowdose import denoise_steps
    >>> fringes = 9 + 6 * np.cos(np.arange(64) / 2)
    >>> noisy = np.random.default_rng(0).poisson(fringes, (64, 64))
    >>> for step in denoise_steps(noisy, Reucid(patch_size=9, n_stacks=5)):
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
    stacks: Stacks = "random"
    deviations: Deviations = "keep"
    frames_together: int = 1
    scan_noise: ScanNoise = "remove"
    outliers: Outliers = "remove"
    classifier: str | os.PathLike[str] | None = None
    exact: bool = False
    seed: int = 0

    title = "REUCID"
    takes = "image"

    def __post_init__(self) -> None:
        if isinstance(self.patch_size, str):
            self._set("patch_size", one_of("patch_size", self.patch_size, get_args(PatchSize)))
        else:
            self._set("patch_size", odd_width("patch_size", self.patch_size))
        self._set("scan_noise", one_of("scan_noise", self.scan_noise, get_args(ScanNoise)))
        self._set("stacks", one_of("stacks", self.stacks, get_args(Stacks)))
        self._set("deviations", one_of("deviations", self.deviations, get_args(Deviations)))
        self._set("outliers", one_of("outliers", self.outliers, get_args(Outliers)))
        self._set("exact", flag("exact", self.exact))
        self._set("classifier", classifier_path(self.classifier))
        for name in ("n_stacks", "memory_limit"):
            if (value := getattr(self, name)) is not None:
                self._set(name, whole_number(name, value, 1))
        for name, least in (("n_components", 1), ("frames_together", 1), ("seed", 0)):
            self._set(name, whole_number(name, getattr(self, name), least))
        if self.frames_together > 1 and self.stacks != "alike":
            raise ValueError(
                "Only alike stacks group the patches of several frames: use stacks='alike', or "
                "frames_together=1."
            )
        if self.keep is None:
            return
        most = self.n_components * (WIDTHS if self.patch_size in ("auto", "wide") else 1)
        self._set("keep", keep_choice(self.keep, most))
        if isinstance(self.keep, tuple) and self.n_stacks not in (None, self._stacks_of_keep()):
            n = self._stacks_of_keep()
            raise ValueError(
                f"keep has indices of eigenpatches for {n} stack{'s' * (n > 1)}, and every stack "
                f"has its own eigenpatches: set n_stacks={n}."
            )

    def preparation_share(self, given: ImageOrPair) -> float:
        """Return the fraction of the work in a stack spent on finding the patch size."""
        # The search reads a fixed number of frames, so its share shrinks with the stack.
        return SEARCH / given.n_frames if self._compares_sizes and given.leading else 0.0

    def prepare(self, given: ImageOrPair) -> Generator[Step, None, Engine]:
        """Choose one patch size for all frames of a stack.

        A different size in each frame would make the movie flicker.

        Parameters
        ----------
        given : ImageOrPair
            A few frames of a stack are read.  The patch size of a single image is chosen in
            `frame_steps`.

        Yields
        ------
        Step

        Returns
        -------
        Engine
        """
        check_image(given.given)
        if isinstance(self.patch_size, int) or not given.leading:
            return self
        few = (given.frames(index)[0] for index in spread_over(given.leading))
        try:
            return ReucidOfSize(self, *(yield from self.find_patch_size(few)))
        except ValueError:  # none of these frames can be denoised: try all others
            pass
        # One after the other, because a movie may begin with many frames of a closed shutter.
        for number, index in enumerate(np.ndindex(given.leading)):
            (frame,) = given.frames(index)
            if is_constant(frame):
                continue
            try:
                return ReucidOfSize(self, *(yield from self.find_patch_size([frame])))
            except ValueError as error:
                raise ValueError(f"{frame_name(number, given.leading)}: {error}") from error
        return self

    def find_patch_size(
        self, frames: Iterable[NDArray[Any]]
    ) -> Generator[Step, None, tuple[int, bool]]:
        """Find a common patch size for several frames.

        Parameters
        ----------
        frames : iterable of (Y, X) array
            Frames that cannot be denoised, for example constant ones, are ignored.

        Yields
        ------
        Step

        Returns
        -------
        patch_size : int
            Width of a patch, pixels.
        wide : bool
            True if the patches are wider than the PSF.

        Raises
        ------
        ValueError
            If none of the frames can be denoised.
        """
        images = map(self._scanned_along_rows, prepared_images(frames))
        return (yield from on_one_blas_thread(self._patch_size(images, 1.0)))

    def neighbours(self, number: int, n_frames: int) -> Sequence[int]:
        """Return the numbers of the frames whose patches join those of a frame.

        They are the nearest ones; at the ends of a movie all on one side.
        """
        n = min(self.frames_together, n_frames)
        first = min(max(0, number - n // 2), n_frames - n)
        return [other for other in range(first, first + n) if other != number]

    def frame_steps(
        self, *frames: NDArray[Any], neighbours: Neighbours | None = None
    ) -> Iterator[Step]:
        """Denoise a frame, one patch stack at a time.

        Parameters
        ----------
        *frames : (Y, X) array
            One frame, of any integer or floating dtype.
        neighbours : mapping, optional
            The frames around it, by their distance in time; see `Engine.neighbours`.

        Yields
        ------
        StackStep
            After each patch stack, with the interim image.  The last one has the result.
        Step
            Progress in between, without an image.

        Raises
        ------
        ValueError
            If the frame cannot be denoised or needs more memory than allowed.
        """
        (frame,) = frames
        yield from on_one_blas_thread(self.steps_of_size(frame, None, neighbours=neighbours))

    def steps_of_size(
        self,
        frame: NDArray[Any],
        size: tuple[int, bool] | None,
        warn: bool = True,
        neighbours: Neighbours | None = None,
    ) -> Generator[Step, None, StandardError]:
        """Denoise a frame with a given patch size.

        Parameters
        ----------
        frame : (Y, X) array
        size : (int, bool), optional
            Width in pixels, and True if the patches are wider than the PSF.  By default chosen
            for this frame.
        warn : bool
            Warn of what may mislead.
        neighbours : mapping, optional
            The frames around it.

        Yields
        ------
        Step

        Returns
        -------
        StandardError
            Computes the standard error of the result within the image area, grey levels.
        """
        yield Step(fraction=0.0, message="outliers")
        prepared = prepare(frame)
        image = self._scanned_along_rows(prepared.image)
        noise = beside(check_noise, image)  # while this thread decomposes it
        columns: Literal["columns", "rows"] = "rows" if self.scan_noise == "columns" else "columns"
        if warn:
            prepared.warn(self.outliers)
        begun = 0.0
        if size is None:
            begun = SEARCH if self._compares_sizes else 0.0
            size = yield from self._patch_size([image], begun)
        p, wide = size
        check_patch_fits(image.shape, p)
        n_components = self.n_components * (WIDTHS if wide else 1)
        if self.stacks == "alike":
            checks = noise.result()
            checks.warn(columns)
            others = [other for (other,) in (neighbours or {}).values()]
            return (
                yield from self._alike_steps(
                    prepared, others, p, n_components, wide, begun, checks.correlated
                )
            )
        d = self._n_stacks(image.shape, frame.itemsize, p)
        stack_of = assign_stacks(image.shape, p, d, self.seed)
        # From stack to stack, so that every interim image uses all patches so far
        canvas, terrain = _empty_canvas(image)
        weights = self._weights()
        kept_eigenpatches = []
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
            kept_eigenpatches.append(eigenpatches[kept])
            if stack == 0 and warn:
                checks = noise.result()
                checks.warn(columns)
                if self.keep is None and not checks.correlated:  # which has its own warning
                    warn_of_choice(utilities)
            if d == 1:
                convolved = convolve(image, eigenpatches[kept])
                result = yield from report(convolved, middle, end, f"{name}: reconstruction")
                restored = prepared.rescale(self._scanned_along_rows(result), self.outliers)
            else:
                placed = project(image, eigenpatches[kept], in_stack)
                canvas += yield from report(placed, middle, end, f"{name}: reconstruction")
                terrain += patch_terrain(in_stack, p)
                yield Step(fraction=end, message=f"{name}: terrain")
                restored = self._restore(prepared, canvas, terrain)
            yield StackStep(
                fraction=end,
                message=f"{name}: patches of {p} px{' (wide)' * wide}, "
                f"{kept.sum()} of {len(kept)} eigenpatches kept",
                image=restored,
                stack=stack,
                n_stacks=d,
                patch_size=p,
                wide=wide,
                eigenpatches=self._scanned_along_rows(eigenpatches),
                singular_values=values,
                noise_floor=floor,
                utilities=utilities,
                kept=kept,
                n_outliers=prepared.n_outliers,
            )
        denoised = self._scanned_along_rows(restored[prepared.area])
        scanned = self._scanned(prepared)
        error = partial(random_error, scanned, denoised, kept_eigenpatches, stack_of)
        return partial(self._error_as_given, error)

    def for_live(self) -> Engine:
        """Return REUCID with a single patch stack that keeps its eigenpatches; see `LiveReucid`."""
        return LiveReucid(self)

    def learn(self, frame: NDArray[Any], size: tuple[int, bool] | None = None) -> KnownEigenpatches:
        """Learn the eigenpatches of a frame, to denoise other frames of the same scene with them.

        Parameters
        ----------
        frame : (Y, X) array
            It is decomposed once, as a single patch stack.
        size : (int, bool), optional
            `KnownEigenpatches.size` that was learnt before, which saves finding a patch size.  By
            default that of this frame.

        Returns
        -------
        KnownEigenpatches
            An engine that denoises each frame by one convolution.

        Raises
        ------
        ValueError
            If the frame cannot be denoised, or if the engine is not of a single random stack.
        """
        return run_to_end(self.learn_steps(frame, size))

    def learn_steps(
        self, frame: NDArray[Any], size: tuple[int, bool] | None = None, warn: bool = True
    ) -> Generator[Step, None, KnownEigenpatches]:
        """Learn the eigenpatches of a frame step by step; see `learn`.

        Parameters
        ----------
        frame, size
            As for `learn`.
        warn : bool
            Warn of what may mislead, as `frame_steps` does.

        Yields
        ------
        Step
            Those of `frame_steps`; the last one has the denoised frame.

        Returns
        -------
        KnownEigenpatches
        """
        if self.stacks == "alike":
            raise ValueError(
                "Stacks of alike patches are found anew in each frame, so there is nothing to "
                "learn from one: use stacks='random'."
            )
        if isinstance(self.keep, tuple) and self._stacks_of_keep() > 1:
            raise ValueError(
                "Eigenpatches are learnt from a single stack: give one sequence of indices as "
                "keep, or none."
            )
        check_image(frame)
        if frame.ndim != 2:
            raise ValueError(f"a frame has two axes (Y, X), this array has shape {frame.shape}.")
        one_stack = replace(self, n_stacks=1)
        area = image_area(frame)
        last: Step | None = None
        for step in on_one_blas_thread(one_stack.steps_of_size(frame, size, warn)):
            last = step
            yield step
        assert isinstance(last, StackStep)  # the last step of a single stack
        shape = frame.shape[0], frame.shape[1]
        return KnownEigenpatches(replace(last, image=None), shape, area, self.outliers)

    def rebuild(self, frame: NDArray[Any], stacks: Sequence[StackStep]) -> NDArray[np.float32]:
        """Reconstruct a frame from a different choice of eigenpatches, without a new SVD.

        Parameters
        ----------
        frame : (Y, X) array
            The frame from which `stacks` were computed.
        stacks : sequence of StackStep
            Steps with the new choice as `kept` (``dataclasses.replace(step, kept=...)``).

        Returns
        -------
        (Y, X) float32 array

        Raises
        ------
        ValueError
            If the stacks are of alike patches: the groups depend on the pilot and must be found
            again.
        """
        if any(isinstance(step, AlikeStep) for step in stacks):
            raise ValueError(
                "Stacks of alike patches cannot be rebuilt from other eigenpatches: denoise again "
                "with `keep`, the eigenpatches of the pilot."
            )
        # Prepared again: keeping it in the steps would need as much memory as the movie.
        prepared = prepare(frame)
        image = self._scanned_along_rows(prepared.image)
        p, d = stacks[0].patch_size, stacks[0].n_stacks
        if d == 1:
            (step,) = stacks
            with one_blas_thread():
                result = run_to_end(convolve(image, self._kept_of(step)))
            return prepared.rescale(self._scanned_along_rows(result), self.outliers)
        stack_of = assign_stacks(image.shape, p, d, self.seed)
        canvas, terrain = _empty_canvas(image)
        for step in stacks:
            in_stack = stack_of == step.stack
            canvas += run_to_end(project(image, self._kept_of(step), in_stack))
            terrain += patch_terrain(in_stack, p)
        return self._restore(prepared, canvas, terrain)

    def _scanned_along_rows(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Transpose if the scan noise is along columns, there and back.

        The classifier is trained for scan noise along rows.
        """
        if self.scan_noise != "columns":
            return pixels
        return np.ascontiguousarray(pixels.swapaxes(-1, -2))

    def _scanned(self, prepared: Prepared) -> Prepared:
        """Transpose the image area of a prepared frame likewise."""
        return replace(
            prepared,
            image=self._scanned_along_rows(prepared.image),
            mended=self._scanned_along_rows(prepared.mended),
            outliers=self._scanned_along_rows(prepared.outliers),
        )

    def _kept_of(self, step: StackStep) -> NDArray[np.float32]:
        """Return the kept eigenpatches of a step, as for the image scanned along rows."""
        return self._scanned_along_rows(step.eigenpatches[step.kept])

    def _restore(
        self, prepared: Prepared, canvas: NDArray[np.float32], terrain: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        return prepared.restore(
            self._scanned_along_rows(canvas), self._scanned_along_rows(terrain), self.outliers
        )

    def summary(self, records: Sequence[Mapping[str, Any]], model: Any) -> list[str]:
        """Summarise the patch sizes and the kept eigenpatches; see `Engine.summary`."""
        return stack_summary(records)

    def _alike_steps(
        self,
        prepared: Prepared,
        others: Sequence[NDArray[Any]],
        patch_size: int,
        n_components: int,
        wide: bool,
        begun: float,
        correlated: bool,
    ) -> Generator[Step, None, StandardError]:
        """Denoise a prepared frame with stacks of alike patches."""
        # Offsets of rows of each frame, then the noise
        times = np.linspace(begun, begun + NOISE * (1 - begun), 3 + len(others)).tolist()
        scanned, pilot = yield from self._level_rows(prepared, times[0], times[1])
        neighbours = []
        for k, other in enumerate(others, 1):
            try:
                found = prepare(other[prepared.area])
            except ValueError:  # a closed shutter, for example: the frame does without it
                continue
            if found.image.shape == prepared.image.shape:
                levelled, _ = yield from self._level_rows(found, times[k], times[k + 1])
                neighbours.append(levelled.mended)
        estimate = noise_of(scanned, pilot=pilot, correlated=correlated)
        noise = yield from report(estimate, times[-2], times[-1], "noise")
        if not correlated:  # which has its own warning
            for note in noise.notes:
                warn_user(note, stacklevel=2)
        weights = self._weights()

        def choose_useful(
            eigenpatches: NDArray[np.float32], values: NDArray[np.float64], floor: float
        ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
            utilities = utility(eigenpatches, values, floor, weights)
            if self.keep is None and not correlated:
                warn_of_choice(utilities)
            return utilities, self._choose(utilities, 0)

        def restore(image: NDArray[np.float32]) -> NDArray[np.float32]:
            return prepared.place(self._scanned_along_rows(image), self.outliers)

        steps = alike_steps(
            scanned.mended,
            neighbours,
            noise,
            patch_size,
            n_components,
            choose_useful,
            restore,
            begin=times[-1],
            wide=wide,
            deviations=self.deviations,
            n_outliers=prepared.n_outliers,
            seed=self.seed,
        )

        def as_given(step: Step) -> Step:
            if isinstance(step, StackStep):
                return replace(step, eigenpatches=self._scanned_along_rows(step.eigenpatches))
            return step

        return partial(self._error_as_given, (yield from map_yields(steps, as_given)))

    def _error_as_given(
        self, error: StandardError, step: int | None
    ) -> Generator[float, None, NDArray[np.float32]]:
        """Compute a standard error of the image scanned along rows, for the image as given."""
        return self._scanned_along_rows((yield from error(step)))

    def _level_rows(
        self, prepared: Prepared, begin: float, end: float
    ) -> Generator[Step, None, tuple[Prepared, Pilot | None]]:
        """Return a frame scanned along rows without their offsets, and its pilot if it is known.

        Patches of one row share its offset, so that it would not average out in their groups.
        """
        scanned = self._scanned(prepared)
        if self.scan_noise == "keep":
            return scanned, None
        return (yield from report(remove_row_offsets(scanned), begin, end, "row offsets"))

    @property
    def _compares_sizes(self) -> bool:
        """True if the patch size is chosen by a trial of two; alike patches need none."""
        return self.patch_size == "auto" and self.stacks == "random"

    def _weights(self) -> Weights:
        """Return the weights of the classifier."""
        return load_weights(self.scan_noise, classifier_path(self.classifier))

    def _set(self, name: str, value: object) -> None:
        # A frozen dataclass refuses assignment, even in `__post_init__`.
        object.__setattr__(self, name, value)

    def _stacks_of_keep(self) -> int:
        """Return the number of stacks for which `keep` has indices."""
        if isinstance(self.keep, tuple) and isinstance(self.keep[0], tuple):
            return len(self.keep)
        return 1

    def _patch_size(
        self, images: Iterable[NDArray[np.float32]], end: float
    ) -> Generator[Step, None, tuple[int, bool]]:
        """Return the patch width and True if the patches are wider than the PSF."""
        if isinstance(self.patch_size, int):
            return self.patch_size, False
        wanted = (
            "psf" if self.patch_size == "auto" and not self._compares_sizes else self.patch_size
        )
        search = choose_patch_size(images, wanted, self.n_components, self._weights(), self.seed)
        return (yield from report(search, 0.0, end, "patch size"))

    def _n_stacks(self, shape: tuple[int, int], itemsize: int, patch_size: int) -> int:
        """Return the requested number of stacks, or by default the planned one."""
        planned = plan_stacks(
            shape,
            patch_size,
            self.memory_limit,
            max_patches=None if self.exact else sample_size(patch_size),
            itemsize=itemsize,
        )
        wanted = self._stacks_of_keep() if isinstance(self.keep, tuple) else self.n_stacks
        if wanted is None:
            return planned
        if self.memory_limit is not None and wanted < planned:
            raise ValueError(
                f"{wanted} patch stack{'s' * (wanted > 1)} of this image need more than the memory "
                f"limit of {megabytes(self.memory_limit)}: use n_stacks={planned}, or allow more."
            )
        check_stacks_full(shape, patch_size, wanted)
        return wanted

    def _choose(self, utilities: NDArray[np.float32], stack: int) -> NDArray[np.bool_]:
        """Return a mask of the eigenpatches to keep in a stack; at least one is kept."""
        if self.keep is None:
            return choose(utilities)
        kept = np.zeros(len(utilities), bool)
        if isinstance(self.keep, int):
            if self.keep > len(kept):
                raise ValueError(
                    f"keep is {self.keep}, but patches of this size have {len(kept)} eigenpatches: "
                    "keep fewer, or raise n_components."
                )
            kept[: self.keep] = True
            return kept
        chosen: Any = self.keep[stack] if isinstance(self.keep[0], tuple) else self.keep
        if max(chosen) >= len(kept):
            raise ValueError(
                f"keep has index {max(chosen)}: use indices from 0 to {len(kept) - 1}."
            )
        kept[list(chosen)] = True
        return kept


def _empty_canvas(image: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return an empty canvas and patch terrain.  Both grow from stack to stack."""
    return np.zeros_like(image), np.zeros(image.shape, np.int32)


@dataclass(frozen=True)
class ReucidOfSize(Engine):
    """REUCID with a patch size that was chosen from several frames of a stack.

    Parameters
    ----------
    engine : Reucid
    patch_size : int
        Width of a patch, pixels.
    wide : bool
        True if the patches are wider than the PSF.
    """

    takes = "image"

    engine: Reucid
    patch_size: int
    wide: bool

    def neighbours(self, number: int, n_frames: int) -> Sequence[int]:
        """Return the numbers of the frames around a frame; see `Reucid.neighbours`."""
        return self.engine.neighbours(number, n_frames)

    def frame_steps(
        self, *frames: NDArray[Any], neighbours: Neighbours | None = None
    ) -> Iterator[Step]:
        """Denoise a frame; see `Reucid.frame_steps`."""
        (frame,) = frames
        size = self.patch_size, self.wide
        yield from on_one_blas_thread(self.engine.steps_of_size(frame, size, neighbours=neighbours))
