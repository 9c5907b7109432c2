"""Teach the classifier, and tell how often it now agrees with answers that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_lowdose.engine import Step, report, run_to_end
from napari_lowdose.reucid.classifier import choose, load_weights, utility
from napari_lowdose.reucid.classifier_file import NETWORKS, write_classifier
from napari_lowdose.reucid.teaching.fine_tuning import fine_tune
from napari_lowdose.reucid.teaching.replay import replay
from napari_lowdose.reucid.teaching.survey import lessons_of
from napari_lowdose.versions import versions

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Generator, Sequence

    from napari_lowdose.reucid.classifier_file import Weights
    from napari_lowdose.reucid.teaching.lesson import Lesson
    from napari_lowdose.reucid.teaching.survey import Pick, Survey

    # Lessons to learn, and the function that counts the agreements with the rest
    Fold = tuple[Sequence[Lesson], Callable[[Weights], int]]

FOLDS = 5  # trainings to measure the agreement


@dataclass(frozen=True)
class Agreement:
    """How often a classifier agrees with answers that it has not seen.

    Attributes
    ----------
    before, after : int
        Answers that it agrees with, before and after it was taught.
    of : int
        All answers.
    what : str
        What is counted.
    """

    before: int
    after: int
    of: int
    what: str = "picks"

    def __str__(self) -> str:
        return (
            f"agrees with {self.after} of {self.of} {self.what} it has not seen, "
            f"before {self.before}"
        )


@dataclass(frozen=True, eq=False)
class Taught:
    """A classifier that was taught.

    Attributes
    ----------
    networks : dict of dict of arrays
        Weights of the networks for ``"remove"`` and for ``"keep"`` scan noise.
    record : dict
        What it was taught on; JSON-ready.
    agreement : Agreement or None
        With held-out answers; None if there are too few to hold any out.
    """

    networks: dict[str, Weights]
    record: dict[str, Any]
    agreement: Agreement | None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the classifier to a safetensors file, for ``Reucid(classifier=path)``.

        Parameters
        ----------
        path : path
            An existing file is replaced.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        write_classifier(path, self.networks, self.record)


@dataclass(frozen=True, kw_only=True)
class TeachingStep(Step):
    """Progress of teaching; the last step has the result.

    Attributes
    ----------
    taught : Taught or None
    """

    taught: Taught | None = field(default=None, repr=False)


def teach(survey: Survey) -> Taught:
    """Teach the classifier the picks of a survey.

    Parameters
    ----------
    survey : Survey
        About ten picks, better on several images.

    Returns
    -------
    Taught

    Raises
    ------
    ValueError
        If there are no picks, or the images were denoised with different settings.
    """
    return run_to_end(teach_steps(survey))


def teach_steps(survey: Survey) -> Generator[Step, None, Taught]:
    """Teach the classifier step by step; see `teach`.

    Yields
    ------
    TeachingStep

    Returns
    -------
    Taught
    """
    picks = [pick for pick in survey.picks if pick.best is not None]
    if not picks:
        raise ValueError(
            "nothing was picked yet: pick the best picture about ten times, then train."
        )
    asked = {pick.image for pick in picks}
    images = {name: image for name, image in survey.images.items() if name in asked}
    modes = {(image.engine.scan_noise, image.engine.classifier) for image in images.values()}
    if len({"keep" if mode == "keep" else "remove" for mode, _ in modes}) > 1:
        raise ValueError(
            "some images keep their scan noise and others do not, and each has its own classifier: "
            "teach them one after the other."
        )
    network = "keep" if any(mode == "keep" for mode, _ in modes) else "remove"

    def agreements(held_out: Sequence[Pick]) -> Callable[[Weights], int]:
        def count(weights: Weights) -> int:
            agreed = 0
            for pick in held_out:
                stack, scanned = images[pick.image].stack, images[pick.image].scanned
                values = stack.singular_values
                kept = choose(utility(scanned, values, stack.noise_floor, weights))
                agreed += pick.nearest(kept, values) == pick.best
            return agreed

        return count

    # Split by image: patches of one image are alike.
    groups = [[p for p in picks if p.image == name] for name in images]
    if len(groups) == 1:
        groups = [[pick] for pick in picks]
    folds: list[Fold] = []
    n_folds = min(FOLDS, len(groups))
    for number in range(n_folds if n_folds > 1 else 0):
        held_out = [pick for group in groups[number::n_folds] for pick in group]
        rest = [pick for pick in picks if pick not in held_out] if len(images) > 1 else [
            pick for n, pick in enumerate(picks) if n % n_folds != number
        ]  # fmt: skip
        folds.append((lessons_of(rest, images), agreements(held_out)))
    what = "picks" if len(images) > 1 else "picks of this image"
    record: dict[str, Any] = {
        "taught_by": "picks",
        "n_picks": len(survey.picks),
        "picks": [[pick.image, list(pick.counts), pick.best] for pick in survey.picks],
    }
    lessons = lessons_of(picks, images)
    return (yield from taught_steps(network, lessons, folds, len(picks), what, record))


def taught_steps(
    network: str,
    lessons: Sequence[Lesson],
    folds: Sequence[Fold],
    of: int,
    what: str,
    record: dict[str, Any],
) -> Generator[Step, None, Taught]:
    """Train on all lessons, and on the part of each fold to measure the agreement.

    Parameters
    ----------
    network : "remove" or "keep"
        The network to train; the other one stays as shipped.
    lessons : sequence of Lesson
    folds : sequence of (lessons, count)
        Lessons without some answers, and a function of weights that counts the agreements with
        those.
    of : int
        Number of answers in all folds.
    what : str
        What is counted.
    record : dict
        Kept with the weights.

    Yields
    ------
    TeachingStep

    Returns
    -------
    Taught
    """
    shipped, replayed = load_weights(network), replay(network).seen
    n = len(folds) + 1
    training = report(fine_tune(shipped, lessons, replayed), 0.0, 1 / n, "training")
    weights = yield from training
    before = after = 0
    for number, (part, count) in enumerate(folds, 1):
        message = f"held-out answers, part {number} of {len(folds)}"
        fold = fine_tune(shipped, part, replayed)
        without = yield from report(fold, number / n, (number + 1) / n, message)
        before += count(shipped)
        after += count(without)
    agreement = Agreement(before, after, of, what) if folds else None
    held_out = replay(network, held_out=True)
    record = {
        **record,
        "images": sorted({lesson.image for lesson in lessons}),
        "network": network,
        "agreement": None if agreement is None else [before, after, of],
        "accuracy_on_shipped_data": [
            round(held_out.accuracy(each), 4) for each in (shipped, weights)
        ],
        "versions": versions("napari-lowdose", "numpy", "scipy"),
    }
    networks = {each: weights if each == network else load_weights(each) for each in NETWORKS}
    taught = Taught(networks, record, agreement)
    yield TeachingStep(fraction=1.0, message="taught", taught=taught)
    return taught
