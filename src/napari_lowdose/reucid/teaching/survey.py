r"""The survey of the paper, for one person and their own images.

One image is reconstructed with different numbers of its leading eigenpatches, and the person picks
the best reconstruction.  In the paper, the mean answer of 224 people is the best number of
eigenpatches of an image, and therefore gives the utility of each.  One person answers a few
questions instead, each about the numbers that are still in doubt: the picture picked is the
nearest to the best number, with an occasional mistake.  The utility of an eigenpatch is the
probability that the best number includes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.reucid.classifier import UTILITY_THRESHOLD
from napari_lowdose.reucid.teaching.lesson import Lesson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_lowdose.reucid.teaching.decomposed import Decomposed

ASKED = (0.2, 0.5, 0.8)  # quantiles of the best number that are asked about
OPTIONS = len(ASKED)  # reconstructions to choose from
JITTER = 0.1  # of the quantiles, so that the classifier cannot learn the questions
MISTAKE = 0.1  # relative probability of a pick that is not the nearest to the best number
FEWEST = 10  # picks, about, that are worth a training


@dataclass(frozen=True, eq=False)
class Question:
    """Reconstructions of one region, in random order.

    Attributes
    ----------
    image : str
        Name of the image.
    counts : tuple of int
        Number of leading eigenpatches in each picture, in the order shown.
    pictures : tuple of (h, w) float32 array
    """

    image: str
    counts: tuple[int, ...]
    pictures: tuple[NDArray[np.float32], ...]


@dataclass(frozen=True)
class Pick:
    """An answer.

    Attributes
    ----------
    image : str
    counts : tuple of int
        Numbers of eigenpatches of the pictures, ascending.
    best : int or None
        That of the best picture; None for no difference.
    """

    image: str
    counts: tuple[int, ...]
    best: int | None

    def likelihood(self, most: int) -> NDArray[np.float64]:
        """Return the relative probability of the pick if the best number is 1, 2, ..., `most`.

        Examples
        --------
        >>> Pick("image", (2, 4, 8), 4).likelihood(7).tolist()
        [0.1, 0.1, 1.0, 1.0, 1.0, 0.1, 0.1]
        """
        counts = np.array(self.counts)
        away = np.abs(np.log(np.arange(1, most + 1)[:, None] / counts))
        return np.where(counts[away.argmin(axis=1)] == self.best, 1.0, MISTAKE)

    def nearest(self, kept: NDArray[np.bool_], singular_values: NDArray[np.floating]) -> int:
        """Return the number of the picture that is most like a reconstruction from others.

        Parameters
        ----------
        kept : (k,) bool array
            Eigenpatches of that reconstruction.
        singular_values : (k,) array
            The power of an eigenpatch in the image is its singular value squared.
        """
        first = np.arange(len(kept)) < np.array(self.counts)[:, None]
        missing = (first != kept) @ np.square(singular_values)
        return self.counts[int(missing.argmin())]


class Survey:
    """Questions on images, and the answers so far.

    Parameters
    ----------
    seed : int
        Seed of the numbers of eigenpatches and of the order of the pictures.

    Attributes
    ----------
    picks : list of Pick
    images : dict of Decomposed
        Images that were asked about, by their names.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_lowdose.engine import run_to_end
    >>> from napari_lowdose.reucid.teaching import decompose_steps
    >>> fringes = 9 + 6 * np.cos(np.arange(64) / 2)
    >>> noisy = np.random.default_rng(0).poisson(fringes, (64, 64))
    >>> survey = Survey()
    >>> question = survey.ask(run_to_end(decompose_steps(noisy, "fringes")))
    >>> len(question.pictures), question.pictures[0].shape
    (3, (64, 64))
    >>> survey.answer(question, 1)  # the middle picture is the best
    >>> len(survey.picks)
    1
    """

    def __init__(self, seed: int = 0) -> None:
        self.picks: list[Pick] = []
        self.images: dict[str, Decomposed] = {}
        self._rng = np.random.default_rng(seed)

    def ask(self, image: Decomposed, region: tuple[slice, slice] | None = None) -> Question:
        """Return the next question on an image.

        Parameters
        ----------
        image : Decomposed
        region : (slice, slice), optional
            Rows and columns to show.  By default the whole image.

        Returns
        -------
        Question
        """
        self.images[image.name] = image
        counts = self._rng.permutation(self._counts(image)).tolist()
        pictures = (image.reconstruct(count) for count in counts)
        cut = [each if region is None else each[region] for each in pictures]
        return Question(image.name, tuple(counts), tuple(cut))

    def answer(self, question: Question, picture: int | None) -> None:
        """Record an answer.

        Parameters
        ----------
        question : Question
        picture : int or None
            Position of the best picture, from 0; None for no difference.
        """
        best = None if picture is None else question.counts[picture]
        self.picks.append(Pick(question.image, tuple(sorted(question.counts)), best))

    def undo(self) -> Pick | None:
        """Take back the last answer; None if there is none."""
        return self.picks.pop() if self.picks else None

    def _counts(self, image: Decomposed) -> list[int]:
        """Return the numbers to ask about: spread over what the best number may still be."""
        most = len(image.stack.kept)
        picks = [p for p in self.picks if p.image == image.name and p.best is not None]
        quantiles = np.array(ASKED) + self._rng.uniform(-JITTER, JITTER)
        return _distinct(np.searchsorted(np.cumsum(best_number(picks, most)), quantiles) + 1, most)


def best_number(picks: Sequence[Pick], most: int) -> NDArray[np.float64]:
    """Return the probability of each best number of eigenpatches, (most,), from 1.

    Parameters
    ----------
    picks : sequence of Pick
        Those of one image that are not of no difference.  Without any, the logarithm of the
        number has a uniform distribution.
    most : int
    """
    probability = 1 / np.arange(1, most + 1)
    for pick in picks:
        probability = probability * pick.likelihood(most)
    return np.asarray(probability / probability.sum())


def _distinct(wanted: NDArray[Any], most: int) -> list[int]:
    """Return whole numbers from 1 to `most`, all different, near those wanted.

    Examples
    --------
    >>> _distinct(np.array([0.7, 1.0, 1.4]), 25), _distinct(np.array([20.0, 30.0, 40.0]), 25)
    ([1, 2, 3], [20, 24, 25])
    """
    n = min(len(wanted), most)
    numbers: list[int] = []
    for position, number in enumerate(np.round(wanted[:n]).astype(int).tolist()):
        least = numbers[-1] + 1 if numbers else 1
        numbers.append(int(np.clip(number, least, most - (n - 1 - position))))
    return numbers


def lessons_of(picks: Sequence[Pick], images: dict[str, Decomposed]) -> list[Lesson]:
    """Return the utilities of the eigenpatches of each image.

    Parameters
    ----------
    picks : sequence of Pick
        Answers of no difference say nothing about an eigenpatch, and are left out.
    images : dict of Decomposed

    Returns
    -------
    list of Lesson
        One for each image.
    """
    lessons = []
    for name, image in images.items():
        definite = [pick for pick in picks if pick.image == name and pick.best is not None]
        if not definite:
            continue
        stack = image.stack
        k = len(stack.kept)
        share = np.cumsum(best_number(definite, k)[::-1])[::-1].clip(0, 1)
        # The classifier keeps what is above its threshold: there, the person is undecided.
        utilities = share * UTILITY_THRESHOLD
        utilities /= utilities + (1 - share) * (1 - UTILITY_THRESHOLD)
        lessons.append(
            Lesson(name, image.scanned, stack.singular_values, stack.noise_floor, utilities,
                   np.ones(k))
        )  # fmt: skip
    return lessons
