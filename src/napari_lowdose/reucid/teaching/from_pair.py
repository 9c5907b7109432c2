r"""Which eigenpatches carry structure, from a pair of exposures, without any person.

The noise of two exposures is independent.  The contribution C_k of an eigenpatch to the first
exposure therefore correlates with the second exposure only by what it shows of the scene: the
cross-covariance has no noise floor.  With the second exposure in place of the unknown truth, the
squared error of any choice of eigenpatches (`error_of_choice`) is that to the truth plus a
constant.  Where the two exposures do not decide, the choice of the classifier stands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.blas import one_blas_thread
from napari_lowdose.engine import rescale_steps, run_to_end
from napari_lowdose.imaging.image_checks import check_image
from napari_lowdose.reucid.classifier import choose, utility
from napari_lowdose.reucid.kernel import convolve
from napari_lowdose.reucid.prepared import prepare, prepare_area
from napari_lowdose.reucid.reucid import Reucid
from napari_lowdose.reucid.teaching.decomposed import decompose_steps
from napari_lowdose.reucid.teaching.error_of_choice import ErrorOfChoice
from napari_lowdose.reucid.teaching.lesson import Lesson
from napari_lowdose.reucid.teaching.taught import FOLDS, Taught, taught_steps

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from napari_lowdose.engine import Step
    from napari_lowdose.reucid.classifier_file import Weights
    from napari_lowdose.reucid.known_eigenpatches import KnownEigenpatches
    from napari_lowdose.reucid.teaching.decomposed import Decomposed
    from napari_lowdose.reucid.teaching.taught import Fold

# As in the training of the shipped classifier: the relative increase of the squared error at which
# a mistake counts in full, and the least that it counts
FULL_COST, LEAST_COST = 0.2, 0.02
STRIPS = 24  # of rows, from which the uncertainty of a difference is estimated
CERTAINTY = 2.0  # standard errors
LARGEST = 512  # pixels: the middle of a larger image is enough
MATTERS = 0.02  # relative increase of the squared error above which a choice is counted


@dataclass(frozen=True, eq=False)
class ErrorOfStrips:
    """Squared error of any choice of eigenpatches, in strips of rows of an image.

    The strips tell how certain a difference is.  They are as wide as the image, because scan
    noise is the same along a row.

    Attributes
    ----------
    strips : sequence of ErrorOfChoice
    """

    strips: Sequence[ErrorOfChoice]

    @property
    def whole(self) -> ErrorOfChoice:
        """Mean of all strips."""
        power = float(np.mean([strip.power for strip in self.strips]))
        b, q = (np.mean([getattr(s, name) for s in self.strips], axis=0) for name in "bq")
        return ErrorOfChoice(power, b, q)

    def improve(self, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Toggle eigenpatches, the best first, as long as the error certainly decreases.

        Parameters
        ----------
        kept : (k,) bool array
            The choice to start from.

        Returns
        -------
        (k,) bool array
            At least one is kept.
        """
        kept = kept.copy()
        for _ in range(2 * len(kept)):
            changes = [strip.after_toggling(kept) - strip(kept) for strip in self.strips]
            error = np.std(changes, axis=0, ddof=1) / np.sqrt(len(changes))
            at_most = np.mean(changes, axis=0) + CERTAINTY * error
            if kept.sum() == 1:
                at_most[kept] = np.inf
            best = int(at_most.argmin())
            if at_most[best] >= 0:
                break
            kept[best] ^= True
        return kept


def error_by_pair(
    image: NDArray[Any],
    other: NDArray[Any],
    eigenpatches: NDArray[np.float32],
    *,
    of_mean: bool = False,
) -> ErrorOfStrips:
    """Estimate the squared error of any choice of eigenpatches, from another exposure.

    Parameters
    ----------
    image : (Y, X) array
        An exposure, scanned along rows.
    other : (Y, X) array
        Another exposure of the scene, on the same pixels and of the same dose, with which neither
        `image` nor the eigenpatches have any noise in common.
    eigenpatches : (k, p, p) float32 array
        Of unit norm.
    of_mean : bool
        The error of reconstructing the mean of both exposures, instead of `image`.

    Returns
    -------
    ErrorOfStrips
        In units of the power of `image`.  The noise of `other` adds the same to every choice.
    """
    prepared = prepare(image)
    judge = prepare_area(other, prepared.area)
    middle = tuple(_middle(n) for n in prepared.image.shape)
    pixels = np.ascontiguousarray(prepared.image[middle])
    # On the scale of `image`, without the mean: exposures may have different offsets
    ratio = np.float32(judge.scale / prepared.scale)
    target = np.asarray(judge.image[middle] * ratio, np.float32)

    def contributions(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        with one_blas_thread():
            return np.stack([run_to_end(convolve(pixels, v[None])) for v in eigenpatches])

    to_target = contributions(pixels)
    parts = contributions(np.float32(0.5) * (pixels + target)) if of_mean else to_target
    height = max(len(pixels) // STRIPS, 1)
    strips = []
    for first in range(0, len(pixels) - height + 1, height):
        t = target[first : first + height].ravel()
        a, c = (
            each[:, first : first + height].reshape(len(each), -1) for each in (to_target, parts)
        )
        power = float(np.square(t).mean(dtype=np.float64))
        strips.append(ErrorOfChoice(power, (a @ t) / t.size, (c @ c.T) / t.size))
    return ErrorOfStrips(strips)


def _middle(length: int) -> slice:
    shown = min(length, LARGEST)
    return slice((length - shown) // 2, (length - shown) // 2 + shown)


def chosen_by_pair(
    first: NDArray[Any], second: NDArray[Any], engine: Reucid | None = None
) -> KnownEigenpatches:
    """Let the second exposure say which eigenpatches of the first carry structure.

    The eigenpatches are those of the first exposure alone: those of the mean would have adapted to
    the noise of the second, too, which could then not judge them.

    Parameters
    ----------
    first, second : (Y, X) array
        Two exposures of one scene, on the same pixels (see `register_pair`) and of the same dose.
    engine : Reucid, optional

    Returns
    -------
    KnownEigenpatches
        An engine, chosen for the mean of the two exposures.

    Raises
    ------
    ValueError
        If the exposures do not fit together or cannot be denoised.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_lowdose import denoise
    >>> fringes = np.broadcast_to(9 + 6 * np.cos(np.arange(96) / 2), (96, 96))
    >>> first, second = np.random.default_rng(0).poisson(fringes, (2, 96, 96))
    >>> engine = chosen_by_pair(first, second, Reucid(patch_size=9))
    >>> int(engine.stack.kept.sum())
    2
    >>> clean = denoise((first + second) / 2, engine)
    """
    first, second = _pair(first, second)
    engine = engine or Reucid()
    mean = (first.astype(np.float32) + second.astype(np.float32)) / 2
    size = None
    if not isinstance(engine.patch_size, int):
        size = run_to_end(engine.find_patch_size([mean]))
    known = run_to_end(engine.learn_steps(first, size, warn=False))
    stack = known.stack
    error = error_by_pair(first, second, stack.eigenpatches, of_mean=True)
    return replace(known, stack=replace(stack, kept=error.improve(stack.kept)))


def teach_from_pair(
    first: NDArray[Any], second: NDArray[Any], engine: Reucid | None = None
) -> Taught:
    """Teach the classifier which eigenpatches the second exposure confirms, and the reverse.

    Parameters
    ----------
    first, second : (..., Y, X) array
        Two exposures of each scene, on the same pixels and of the same dose; leading axes are
        scenes.
    engine : Reucid, optional
        Patch size and scan noise.

    Returns
    -------
    Taught
        Its agreement is that with pairs it has not seen.  With a single pair, it is None.

    Raises
    ------
    ValueError
        If the exposures do not fit together or cannot be denoised.
    """
    return run_to_end(teach_from_pair_steps(first, second, engine))


def teach_from_pair_steps(
    first: NDArray[Any], second: NDArray[Any], engine: Reucid | None = None
) -> Generator[Step, None, Taught]:
    """Teach the classifier step by step; see `teach_from_pair`."""
    first, second = _pair(first, second)
    scenes = list(np.ndindex(first.shape[:-2]))
    lessons: list[Lesson] = []
    n = 2 * len(scenes)
    for number, (scene, swapped) in enumerate((s, w) for s in scenes for w in (False, True)):
        pair = (second[scene], first[scene]) if swapped else (first[scene], second[scene])
        name = f"pair {number // 2 + 1}"
        steps = decompose_steps(pair[0], name, engine)
        found = yield from rescale_steps(steps, 0.5 * number / n, 0.5 * (number + 1) / n)
        lessons.append(_lesson(found, pair[1]))
    folds: list[Fold] = []
    names = list(dict.fromkeys(lesson.image for lesson in lessons))
    n_folds = min(FOLDS, len(names))
    for number in range(n_folds if n_folds > 1 else 0):
        held_out = set(names[number::n_folds])
        rest = [lesson for lesson in lessons if lesson.image not in held_out]
        tested = [lesson for lesson in lessons if lesson.image in held_out]
        folds.append((rest, partial(_agreements, tested)))
    of = sum(int(_matter(lesson).sum()) for lesson in lessons)
    network = "keep" if engine is not None and engine.scan_noise == "keep" else "remove"
    record = {"taught_by": "pairs", "n_pairs": len(scenes)}
    what = "choices that matter in pairs"
    taught = taught_steps(network, lessons, folds, of, what, record)
    return (yield from rescale_steps(taught, 0.5, 1.0))


def _lesson(found: Decomposed, other: NDArray[Any]) -> Lesson:
    """Return the best choice of eigenpatches of one exposure, as the other exposure says."""
    stack = found.stack
    columns = found.engine.scan_noise == "columns"
    frame, judge = (each.T if columns else each for each in (found.frame, other))
    error = error_by_pair(frame, judge, found.scanned)
    best = error.improve(stack.kept)
    whole = error.whole
    noise = _noise_power(frame, judge)
    least = max(whole(best) - noise, 0.01 * whole.power)
    cost = np.abs(whole.after_toggling(best) - whole(best)) / least
    return Lesson(
        found.name,
        found.scanned,
        stack.singular_values,
        stack.noise_floor,
        best.astype(np.float64),
        np.minimum(cost / FULL_COST, 1) + LEAST_COST,
    )


def _noise_power(frame: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the power of the noise of the other exposure, in units of the power of the frame."""
    one, two = np.asarray(frame, np.float64), np.asarray(other, np.float64)
    shared = float(np.mean((one - one.mean()) * (two - two.mean())))
    return max(float(two.var()) - shared, 0.0) / max(float(one.var()), 1e-30)


def _agreements(lessons: Sequence[Lesson], weights: Weights) -> int:
    """Return the number of choices that matter in which the classifier agrees with the lessons."""
    return sum(
        int(np.sum((_kept(lesson, weights) == lesson.utilities)[_matter(lesson)]))
        for lesson in lessons
    )


def _kept(lesson: Lesson, weights: Weights) -> NDArray[np.bool_]:
    values, floor = lesson.singular_values, lesson.noise_floor
    return choose(utility(lesson.eigenpatches, values, floor, weights))


def _matter(lesson: Lesson) -> NDArray[np.bool_]:
    """Return which choices change the squared error by more than `MATTERS`."""
    return np.asarray(lesson.weights - LEAST_COST > MATTERS / FULL_COST)


def _pair(first: Any, second: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return two exposures as arrays."""
    one, other = np.asarray(first), np.asarray(second)
    check_image(one)
    check_image(other)
    if one.shape != other.shape:
        raise ValueError(
            f"the exposures have shapes {one.shape} and {other.shape}: align and cut them with "
            "register_pair first."
        )
    return one, other
