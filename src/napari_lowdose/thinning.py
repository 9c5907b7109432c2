"""Divide one counted image into two exposures, and train Noise2Noise on them."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_lowdose.engine import Engine, Step
from napari_lowdose.frames import is_constant
from napari_lowdose.imaging.image_checks import check_image
from napari_lowdose.imaging.poisson_gaussian import PoissonGaussian, checked_noise
from napari_lowdose.io.arrays import as_image
from napari_lowdose.noise2noise import PairStep
from napari_lowdose.noise2noise.evaluation.told_gain import RESULT_BY, ToldGain
from napari_lowdose.noise2noise.pair_source import PairSource
from napari_lowdose.parameters import is_finite, one_of, whole_number
from napari_lowdose.reucid import Reucid
from napari_lowdose.reucid.noise_checks import noise_is_correlated
from napari_lowdose.reucid.noise_estimate import estimate_noise
from napari_lowdose.reucid.prepared import standardise
from napari_lowdose.run import denoise_frame
from napari_lowdose.warned import ignore, warn, warnings_to

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_lowdose.engine import Neighbours
    from napari_lowdose.frames import ImageOrPair
    from napari_lowdose.noise2noise import Noise2NoiseModel, TrainingStep

N_PAIRS = 8  # divisions of one image; more gain less than 0.1 dB
HALF = 10 * math.log10(2)  # dB: an exposure of half the dose has twice the relative variance
NO_COUNTS = (
    "The image holds no counts, which are whole numbers from 0 on: give its noise, for "
    "example noise=estimate_noise(image)."
)
MAX_MISFIT = 1.3  # of the variance of counts, relative to that of a Poisson distribution


def thin(
    image: Any, noise: PoissonGaussian | None = None, share: float = 0.5, seed: int = 0
) -> tuple[NDArray[Any], NDArray[Any]]:
    r"""Divide the electrons or photons of an image at random between two exposures.

    Each count :math:`N \sim Poisson(\lambda)` is divided by a binomial draw,

    .. math:: N' \sim Binomial(N, s), \qquad N'' = N - N'.

    :math:`N' \sim Poisson(s \lambda)` and :math:`N'' \sim Poisson((1 - s) \lambda)` are then
    independent, exactly: two exposures of the same scene, as `Noise2Noise` needs them.

    Parameters
    ----------
    image : (..., Y, X) array
        Counts, or with `noise` grey levels.
    noise : PoissonGaussian, optional
        Noise of an image that holds no counts, see `estimate_noise`.  Read noise cannot be
        divided exactly: noise of the expected variance is added to one exposure and subtracted
        from the other, so that their noise is uncorrelated, but not independent.
    share : float
        Share s of the first exposure, between 0 and 1.
    seed : int

    Returns
    -------
    first, second : (..., Y, X) arrays
        Counts in the dtype of the image if it is an integer type, otherwise float32.  With
        `noise`, both have its offset and float32.

    Raises
    ------
    ValueError
        If the image holds no counts and no noise is given, if its noise is correlated between
        neighbouring pixels, or if a parameter is out of range.

    Warns
    -----
    UserWarning
        If the noise of the whole numbers is not that of counts.

    Examples
    --------
    >>> counts = np.random.default_rng(0).poisson(5.0, (256, 256))
    >>> first, second = thin(counts)
    >>> bool((first + second == counts).all())
    True
    >>> bool(abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.01)
    True
    """
    if not is_finite(share) or not 0 < share < 1:
        raise ValueError(f"share is between 0 and 1, not {share!r}.")
    noise, seed = checked_noise(noise), whole_number("seed", seed, 0)
    pixels = np.asarray(as_image(image))
    check_image(pixels)
    rng = np.random.default_rng(seed)
    if noise is None:
        return _thin_counts(_checked_counts(pixels), share, rng)
    frames = pixels.reshape(-1, *pixels.shape[-2:])
    for frame in frames:
        _refuse_correlated(frame)
    parts = [_thin_levels(frame, noise, share, rng) for frame in frames]
    first, second = (np.reshape(part, pixels.shape) for part in zip(*parts, strict=True))
    return first, second


def _divide(
    frame: NDArray[Any], noise: PoissonGaussian | None, rng: np.random.Generator
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Divide a frame in halves, without checks."""
    if noise is None:
        return _thin_counts(frame, 0.5, rng)
    return _thin_levels(frame, noise, 0.5, rng)


def _thin_counts(
    counts: NDArray[Any], share: float, rng: np.random.Generator
) -> tuple[NDArray[Any], NDArray[Any]]:
    first = rng.binomial(counts.astype(np.int64), share)
    dtype = counts.dtype if counts.dtype.kind in "iu" else np.dtype(np.float32)
    return first.astype(dtype), (counts - first).astype(dtype)


def _thin_levels(
    frame: NDArray[Any], noise: PoissonGaussian, share: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Divide grey levels; the variance of the noise is that of the denoised intensity."""
    # The noisy pixel itself would give a variance that depends on its own noise
    level = frame
    if not is_constant(frame):
        with warnings_to(ignore):  # the training has its own
            level = denoise_frame(Reucid(patch_size="psf"), 0, (), (frame,))
    sigma = np.sqrt(share * (1 - share) * noise.variance(level))
    signal = frame.astype(np.float64) - noise.offset
    first = share * signal + sigma * rng.standard_normal(frame.shape)
    offset = noise.offset
    return (first + offset).astype(np.float32), (signal - first + offset).astype(np.float32)


def _refuse_correlated(frame: NDArray[Any]) -> None:
    """Raise a ValueError if the noise of neighbouring pixels is correlated."""
    if not is_constant(frame) and noise_is_correlated(standardise(frame)[2]):
        raise ValueError(
            "Neighbouring pixels share their noise (a resampled, smoothed or compressed image?), "
            "so that it cannot be divided into two independent parts: give the pixels as they "
            "were recorded, or use Reucid."
        )


def _checked_counts(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return an array of counts; warn if their noise is not that of counts."""
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise ValueError("Some pixels are NaN or infinite: fill them in first.")
    if not _are_whole(pixels):
        raise ValueError(NO_COUNTS)
    misfit = _misfit(_first_frame(pixels))
    if not 1 / MAX_MISFIT < misfit < MAX_MISFIT:
        warn(
            f"the noise has {misfit:.2g} times the variance of counts, so the exposures would not "
            "be independent: give the noise of the image, for example "
            "noise=estimate_noise(image).",
            stacklevel=3,
        )
    return pixels


def why_not_thin(image: Any, noise: PoissonGaussian | None = None) -> str:
    """Return why an image cannot be divided into independent exposures; empty if it can.

    Parameters
    ----------
    image : (..., Y, X) array
        The first frame of a stack is read.
    noise : PoissonGaussian, optional
        As in `thin`.

    Returns
    -------
    str
        One sentence.

    Examples
    --------
    >>> counts = np.random.default_rng(0).poisson(5.0, (128, 128))
    >>> why_not_thin(counts), why_not_thin(30 * counts)
    ('', 'The noise has 29 times the variance of counts.')
    """
    frame = _first_frame(image)
    if noise is not None:
        try:
            _refuse_correlated(frame)
        except ValueError as error:
            return str(error)
        return ""
    if not _are_whole(frame):
        return "The image holds no counts, which are whole numbers from 0 on."
    misfit = _misfit(frame)
    if not 1 / MAX_MISFIT < misfit < MAX_MISFIT:
        return f"The noise has {misfit:.2g} times the variance of counts."
    return ""


def _first_frame(image: Any) -> NDArray[Any]:
    return np.asarray(image[(0,) * (image.ndim - 2)])


def _are_whole(pixels: NDArray[Any]) -> bool:
    """Whether all pixels are whole numbers from 0 on."""
    whole = pixels.dtype.kind in "iu" or bool((pixels % 1 == 0).all())
    return whole and not bool((pixels < 0).any())


def _misfit(frame: NDArray[Any]) -> float:
    """Return the variance of the noise relative to that of counts; 1 if it is not known."""
    if is_constant(frame):
        return 1.0
    try:
        with warnings_to(ignore):
            noise = estimate_noise(frame)
    except ValueError:
        return 1.0
    mean = float(frame.mean(dtype=np.float64))
    return float(noise.variance(mean)) / mean if mean > 0 else 1.0


@dataclass(frozen=True)
class Thinned(PairSource):
    """Noise2Noise with a single counted image, whose counts are divided into pairs.

    A single frame is divided several times, so that the network sees more of its noise.  Each
    frame of a movie is divided once.  The result is the sum of the results of both parts.  With
    ``Noise2Noise(context=1)`` the network of a movie also sees the parts of its neighbours, except
    of frames that repeat another one: their parts are not independent.

    Parameters
    ----------
    engine : Noise2Noise
        Parameters of the training.
    noise : PoissonGaussian or "estimate", optional
        Noise of an image that holds no counts; see `thin` and `estimate_noise`.
    n_pairs : int
        Number of divisions of a single frame.

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
    >>> from napari_lowdose import Noise2Noise, Thinned, denoise
    >>> fringes = 9 + 6 * np.cos(np.arange(96) / 2)
    >>> counts = np.random.default_rng(0).poisson(fringes, (96, 96))
    >>> clean = denoise(counts, Thinned(Noise2Noise(epochs=20, fallback=False)))
    >>> clean.shape, bool(abs(clean.mean() / counts.mean() - 1) < 0.02)
    ((96, 96), True)
    """

    title = "Noise2Noise of one image"

    noise: PoissonGaussian | Literal["estimate"] | None = None
    n_pairs: int = N_PAIRS

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_pairs", whole_number("n_pairs", self.n_pairs, 1))
        if isinstance(self.noise, str):
            one_of("noise", self.noise, ("estimate",))
        elif (noise := checked_noise(self.noise)) is not None:  # without the curve of an estimate
            plain = PoissonGaussian(noise.gain, noise.offset, noise.read_noise)
            object.__setattr__(self, "noise", plain)

    def about(self) -> dict[str, Any]:
        """Return name, parameters and versions, with the noise; see `Engine.about`."""
        about = super().about()
        if isinstance(self.noise, PoissonGaussian):
            about["parameters"]["noise"] = dataclasses.asdict(self.noise)
        return about

    def training_steps(self, image: Any) -> Iterator[Step]:
        """Divide the image, and train a network on the parts, step by step.

        Parameters
        ----------
        image : (..., Y, X) array
            The frames of a stack are the pairs.

        Yields
        ------
        Step, TrainingStep
            Its gain and preview are those of the whole image.

        Raises
        ------
        ValueError
            If the image cannot be divided; see `why_not_thin`.
        """
        pixels = np.asarray(as_image(image))
        check_image(pixels)
        yield Step(fraction=0.0, message="dividing the counts")
        noise = self.noise
        if isinstance(noise, str):
            with warnings_to(ignore):  # of the fit; a misfit would be told as well
                found = estimate_noise(_first_frame(pixels))
            noise = PoissonGaussian(found.gain, found.offset, found.read_noise)
        one_scene = pixels.ndim == 2
        if self.engine.context:
            pixels = without_repeats(pixels)
        # Divided once with all checks, then again and again
        parts = [thin(pixels, noise, seed=self.engine.seed)]
        for k in range(1, self.n_pairs if one_scene else 1):
            rng = np.random.default_rng(self.engine.seed + k)
            parts.append(_divide(pixels, noise, rng))
            yield Step(fraction=0.0, message="dividing the counts")
        # The pairs of a movie are its frames
        first, second = map(np.stack, zip(*parts, strict=True)) if one_scene else parts[0]
        engine = dataclasses.replace(self.engine, preview=()) if one_scene else self.engine
        steps: Any = engine.training_steps(first, second, checked=True, one_scene=one_scene)
        whole = _Whole(noise, self.engine.seed)
        for step in steps:
            step = whole.of(step)
            yield dataclasses.replace(step, index=()) if one_scene else step

    def result_of(self, step: Any, given: ImageOrPair, seconds: float = math.inf) -> Engine:
        """Return the engine for the result; see `Noise2Noise.result_of`."""
        if step.instead is not None and step.instead.engine is not None:
            return super().result_of(step, given, seconds)
        return ThinnedNetwork(step.model, in_stack=bool(given.leading))

    def with_model(self, model: Any) -> Engine:
        """Return the network, or the method that was better; see `Engine.with_model`."""
        return super().with_model(model) if RESULT_BY in model.record else ThinnedNetwork(model)


class _Whole:
    """Turn the steps of a training on halves into those of the whole image."""

    def __init__(self, noise: PoissonGaussian | None, seed: int) -> None:
        self._noise, self._seed = noise, seed
        self._models: tuple[Any, Any] = (None, None)  # as trained, and as given

    def of(self, step: TrainingStep) -> TrainingStep:
        """Return a step in the units, and with the gain, of the whole image."""
        image = None if step.image is None else whole(step.image, self._noise)
        gain, instead = (
            told and (told[0] - HALF, told[1] - HALF) for told in (step.gain, step.instead_gain)
        )
        if step.model is not None and step.model is not self._models[0]:
            self._models = step.model, self._model(step.model)
        model = None if step.model is None else self._models[1]
        channels = tuple(_Whole(self._noise, self._seed).of(each) for each in step.channels)
        return dataclasses.replace(
            step, image=image, gain=gain, instead_gain=instead, model=model, channels=channels
        )

    def _model(self, model: Noise2NoiseModel) -> Noise2NoiseModel:
        noise = self._noise
        of = noise and [noise.gain, noise.offset, noise.read_noise]
        of_half = ToldGain.of_record(model.record)
        of_whole = of_half.less(HALF).for_record() if of_half else {}
        how = {THINNED: {"noise": of, "seed": self._seed}}
        return dataclasses.replace(model, record={**model.record, **how, **of_whole})


def without_repeats(movie: NDArray[Any]) -> NDArray[Any]:
    """Leave out the frames along the first axis that repeat an earlier one.

    The parts of equal counts are not independent: what one of them got, the other did not.
    """
    first_of = {hash(frame.tobytes()): k for k, frame in reversed(list(enumerate(movie)))}
    new = sorted(first_of.values())
    return movie if len(new) == len(movie) else movie[new]


def whole(half: NDArray[np.float32], noise: PoissonGaussian | None) -> NDArray[np.float32]:
    """Return an image of half the dose in the units of the whole image."""
    offset = np.float32(noise.offset if noise else 0)
    return (half - offset) * np.float32(2) + offset


THINNED = "thinned"  # in the record of a network: how the images of its training were divided


def network_engine(model: Noise2NoiseModel) -> Engine:
    """Return the engine that applies a network to images like that of its training.

    Parameters
    ----------
    model : Noise2NoiseModel

    Returns
    -------
    Engine
        A `ThinnedNetwork` if it was trained on the halves of an image, else the network.
    """
    return ThinnedNetwork(model) if model.record.get(THINNED) else model


@dataclass(frozen=True, eq=False)
class ThinnedNetwork(Engine):
    """A network for the two halves of each counted frame.

    Parameters
    ----------
    model : Noise2NoiseModel
        A network that `Thinned` has trained; its record tells how images are divided.
    in_stack : bool
        Whether the frames belong to a stack.

    Examples
    --------
    >>> from napari_lowdose import Noise2Noise, Thinned, ThinnedNetwork, denoise
    >>> counts = np.random.default_rng(0).poisson(9 + 6 * np.cos(np.arange(96) / 2), (96, 96))
    >>> model = Thinned(Noise2Noise(epochs=5)).train(counts)
    >>> denoise(counts, ThinnedNetwork(model)).shape
    (96, 96)
    """

    title = "Noise2Noise of one image"
    takes = "image"

    model: Noise2NoiseModel
    in_stack: bool = False

    @property
    def noise(self) -> PoissonGaussian | None:
        """Noise of the images, as in `thin`."""
        noise = (self.model.record.get(THINNED) or {}).get("noise")
        return noise and PoissonGaussian(*noise)

    @property
    def seed(self) -> int:
        """Seed of the division."""
        return int((self.model.record.get(THINNED) or {}).get("seed", 0))

    def prepare(self, given: ImageOrPair) -> Generator[Step, None, Engine]:
        """Note whether the frames belong to a stack; see `Engine.prepare`."""
        check_image(given.exposures[0])
        yield Step(fraction=0.0, message="building the network")
        return dataclasses.replace(self, in_stack=bool(given.leading))

    def neighbours(self, number: int, n_frames: int) -> Sequence[int]:
        """Return the numbers of the frames before and after a frame; see `Engine.neighbours`."""
        return self.model.neighbours(number, n_frames)

    def halves(self, frame: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Divide a frame, as for the training."""
        if self.noise is None and not _are_whole(frame):
            raise ValueError(NO_COUNTS)
        return _divide(frame, self.noise, np.random.default_rng(self.seed))

    def frame_steps(
        self, *frames: NDArray[Any], neighbours: Neighbours | None = None
    ) -> Iterator[Step]:
        """Divide a frame, and denoise both halves; see `Engine.frame_steps`."""
        (frame,) = frames
        around = {}
        for distance, (other,) in (neighbours or {}).items():
            # Of another seed: the same draws would divide like counts alike
            rng = np.random.default_rng([self.seed, distance % 2**16])
            if np.isfinite(other).all() and not np.array_equal(other, frame):
                around[distance] = _divide(other, self.noise, rng)
        network = self.model.applied_to((1,) if self.in_stack else (), frame.shape)
        for step in network.frame_steps(*self.halves(frame), neighbours=around):
            changes: dict[str, Any] = {}
            if step.image is not None:
                changes["image"] = whole(step.image, self.noise)
            if isinstance(step, PairStep) and step.disagreement is not None:
                changes["disagreement"] = 2 * step.disagreement
            yield dataclasses.replace(step, **changes)
