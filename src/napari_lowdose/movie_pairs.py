"""Take the pairs from one movie: each frame and the next, or even against odd frames."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from napari_lowdose.engine import Step, map_yields, run_to_end
from napari_lowdose.frames import is_constant
from napari_lowdose.imaging.image_checks import check_image
from napari_lowdose.io.arrays import as_image, sliceable
from napari_lowdose.noise2noise.pair_source import PairSource
from napari_lowdose.noise2noise.usable_pairs import frame_list
from napari_lowdose.parameters import one_of
from napari_lowdose.warned import warn

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from napari_lowdose.noise2noise import Noise2NoiseModel

PairsOf = Literal["neighbours", "even-odd"]

_CONSTANT, _REPEATED = "black or constant", "the same as an earlier frame"


def movie_pairs(movie: Any, pairs: PairsOf = "neighbours") -> tuple[Any, Any]:
    """Return the frames of one movie as first and second exposures.

    Black, constant and repeated frames are left out.

    Parameters
    ----------
    movie : (T, ..., Y, X) array
        At least two frames in which little moves.  A lazy array (dask, zarr) is read once, frame
        by frame.
    pairs : {"neighbours", "even-odd"}
        Each frame and the next, which are T - 1 pairs that share frames; or the frames 0, 2, 4 ...
        against 1, 3, 5 ..., which are T / 2 pairs of their own.

    Returns
    -------
    first, second : (P, ..., Y, X) arrays
        Views of the movie if no frame is left out; lazy if the movie is.

    Raises
    ------
    ValueError
        If fewer than two frames are usable.

    Warns
    -----
    UserWarning
        Which frames are left out.

    Examples
    --------
    >>> movie = np.random.default_rng(0).poisson(9, (6, 64, 64))
    >>> first, second = movie_pairs(movie)
    >>> bool((first == movie[:-1]).all() and (second == movie[1:]).all())
    True
    >>> first, second = movie_pairs(movie, "even-odd")
    >>> bool((first == movie[::2]).all() and (second == movie[1::2]).all())
    True
    """
    movie = checked_movie(movie)
    frames = run_to_end(usable_frames(movie))
    if frames.left_out:
        warn(frames.sentence, stacklevel=2)
    return frames.paired(movie, pairs)


@dataclass(frozen=True)
class UsableFrames:
    """The frames of a movie that may be part of a pair.

    Attributes
    ----------
    n : int
        Number of all frames.
    numbers : tuple of int
        The usable ones.
    left_out : mapping from str to list of int
        The others, by the reason.
    """

    n: int
    numbers: tuple[int, ...]
    left_out: Mapping[str, list[int]] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """Which frames are left out; empty if none is."""
        each = [f"{frame_list(of, (self.n,))} ({why})" for why, of in self.left_out.items()]
        return f"Left out of the pairs: {', '.join(each)}." if each else ""

    def numbers_of(self, pairs: PairsOf) -> tuple[Sequence[int], Sequence[int]]:
        """Return the numbers of the first and the second frame of each pair."""
        one_of("pairs", pairs, get_args(PairsOf))
        if len(self.numbers) < 2:
            why = f" {self.sentence}" if self.left_out else ""
            raise ValueError(f"There are fewer than two frames to make a pair of.{why}")
        if pairs == "neighbours":
            return self.numbers[:-1], self.numbers[1:]
        n = len(self.numbers) // 2 * 2
        return self.numbers[:n:2], self.numbers[1:n:2]

    def paired(self, movie: Any, pairs: PairsOf) -> tuple[Any, Any]:
        """Return the first and the second exposures; see `movie_pairs`."""
        first, second = self.numbers_of(pairs)
        return _frames(movie, first), _frames(movie, second)


def _frames(movie: Any, numbers: Sequence[int]) -> Any:
    """Return some frames of a movie, as a view where they are evenly spaced."""
    start, stop = numbers[0], numbers[-1] + 1
    step = numbers[1] - start if len(numbers) > 1 else 1
    if tuple(numbers) == tuple(range(start, stop, step)):
        return movie[start:stop:step]
    return movie[list(numbers)]


def all_frames(movie: Any) -> UsableFrames:
    """Return all frames of a movie as usable, without reading them."""
    return UsableFrames(len(movie), tuple(range(len(movie))))


def usable_frames(movie: Any) -> Generator[float, None, UsableFrames]:
    """Look for black, constant and repeated frames.

    Parameters
    ----------
    movie : (T, ..., Y, X) array

    Yields
    ------
    float
        Fraction done, after each frame.

    Returns
    -------
    UsableFrames
    """
    numbers: list[int] = []
    left_out: dict[str, list[int]] = {}
    known: set[int] = set()
    for number in range(len(movie)):
        frame = np.asarray(movie[number])
        found = hash(frame.tobytes())
        if is_constant(frame):  # a closed shutter
            left_out.setdefault(_CONSTANT, []).append(number)
        elif found in known:  # a late read-out delivers a frame again
            left_out.setdefault(_REPEATED, []).append(number)
        else:
            numbers.append(number)
        known.add(found)
        yield (number + 1) / len(movie)
    return UsableFrames(len(movie), tuple(numbers), left_out)


def checked_movie(movie: Any) -> Any:
    """Return a movie that can be sliced; raise a ValueError if it has no two frames."""
    movie = as_image(movie, "the movie")
    check_image(movie)
    if movie.ndim < 3 or movie.shape[0] < 2:
        raise ValueError(
            "The pairs of a movie need a stack of two or more frames, (T, Y, X), not shape "
            f"{tuple(movie.shape)}: give two exposures to Noise2Noise, or one image to Reucid."
        )
    return sliceable(movie)


@dataclass(frozen=True)
class MoviePairs(PairSource):
    """Noise2Noise with one movie in which little moves: its own frames are the pairs.

    Black, constant and repeated frames are left out of the training.  Each frame is then denoised
    by itself, and the gain that is told is that of such a frame.

    Parameters
    ----------
    engine : Noise2Noise
        Parameters of the training.  With ``every`` above 1 not all frames are read beforehand.
    pairs : {"neighbours", "even-odd"}
        Each frame and the next, or even against odd frames; see `movie_pairs`.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    References
    ----------
    D. Yang et al., "Low-dose imaging denoising with one pair of noisy images", Optics Express
    31 (2023), for the training.

    Examples
    --------
    >>> from napari_lowdose import MoviePairs, Noise2Noise, denoise
    >>> fringes = 9 + 6 * np.cos(np.arange(96) / 2)
    >>> movie = np.random.default_rng(0).poisson(fringes, (4, 96, 96))
    >>> clean = denoise(movie, MoviePairs(Noise2Noise(epochs=10, fallback=False), pairs="even-odd"))
    >>> clean.shape, bool(np.std(clean - fringes) < np.std(movie - fringes) / 2)
    ((4, 96, 96), True)
    """

    title = "Noise2Noise of a movie"

    pairs: PairsOf = "neighbours"

    def __post_init__(self) -> None:
        object.__setattr__(self, "pairs", one_of("pairs", self.pairs, get_args(PairsOf)))
        if self.engine.context:
            raise ValueError(
                "a network with context would see its own target among the neighbours of a frame: "
                "train with context=0, or on movie_pairs(movie, 'even-odd')."
            )

    def training_steps(self, movie: Any) -> Iterator[Step]:
        """Train a network on the frames of a movie, step by step.

        Parameters
        ----------
        movie : (T, ..., Y, X) array

        Yields
        ------
        Step, TrainingStep
            The preview is of the pair that holds the frame ``engine.preview``.

        Raises
        ------
        ValueError
            If the frames are not suitable for training; see `check_pair`.
        """
        movie = checked_movie(movie)
        frames = all_frames(movie)
        if self.engine.every == 1:
            frames = yield from map_yields(
                usable_frames(movie), lambda _: Step(fraction=0.0, message="looking at the frames")
            )
        if frames.left_out:
            warn(frames.sentence, stacklevel=2)
        shown = self.engine.preview or (0,) * (movie.ndim - 2)
        pairs = list(zip(*frames.numbers_of(self.pairs), strict=True))
        number = next((k for k, pair in enumerate(pairs) if shown[0] in pair), None)
        if number is None:  # the frame in view is left out, or the last one of an odd number
            number, shown = 0, (pairs[0][0], *shown[1:])
        # One exposure at a time is denoised: "first", for the gain and the previews
        engine = dataclasses.replace(self.engine, use="first", preview=(number, *shown[1:]))
        before: Noise2NoiseModel | None = None
        model: Noise2NoiseModel | None = None
        for step in engine.training_steps(*frames.paired(movie, self.pairs)):
            if step.model is not None and step.model is not before:
                before = step.model
                model = dataclasses.replace(before, use=self.engine.use)
            index = step.index if step.image is None else shown
            yield dataclasses.replace(step, model=model, index=index)
