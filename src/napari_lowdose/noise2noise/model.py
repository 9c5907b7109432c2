"""A trained network: an engine like the others, and a file."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from weakref import WeakKeyDictionary

import numpy as np

from napari_lowdose.engine import Step, is_constant, over_frames, report
from napari_lowdose.imaging.frames import check_image, check_pixels, warn_of_pixels
from napari_lowdose.io.arrays import as_image
from napari_lowdose.noise2noise.config import OPTIMISERS
from napari_lowdose.noise2noise.gain_matching import GainMatch
from napari_lowdose.noise2noise.normalised_frames import NormalisedFrames
from napari_lowdose.noise2noise.pixel_size import checked_pixel_size
from napari_lowdose.parameters import device_name, flag, is_finite, one_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Generator, Iterator, Mapping

    from numpy.typing import NDArray

    from napari_lowdose.noise2noise.config import OptimiserConfig, UNetConfig
    from napari_lowdose.noise2noise.normalised_frames import Level

SMALLEST_FRAME = 32
_CAREFUL = 2**20  # pixels that are denoised in eight orientations within a second or two
Pair = tuple[Any, Any]


# Of every model in this process: its network ready to be applied, and what it warned of
_predictors: WeakKeyDictionary[Noise2NoiseModel, Any] = WeakKeyDictionary()
_told: WeakKeyDictionary[Noise2NoiseModel, set[str]] = WeakKeyDictionary()


@dataclass(frozen=True, kw_only=True)
class PairStep(Step):
    """A step of a network that is applied to a pair; the `image` is the mean of both outputs.

    Attributes
    ----------
    disagreement : (Y, X) float32 array or None
        :math:`|R(I') - R(I'')| / 2`: where the two exposures tell different things, do not
        trust the result.
    """

    disagreement: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class Noise2NoiseModel:
    """A network trained on pairs of noisy images, ready to denoise others of the same kind.

    It comes from `Noise2Noise.train` or `Noise2NoiseModel.load`.  Its fields never change;
    ``dataclasses.replace(model, use="first")`` makes another one.

    Parameters
    ----------
    architecture : UNetConfig
        Architecture of the network.
    weights : mapping from str to array
        Its weights.
    offset, scale : float
        The normalisation, one for all: the network sees (frame - offset) / scale.
    levels : tuple of Level
        Contrast of the channels, or of other frames of very different brightness, and the gain
        of the second exposure there.  Where there are any, each frame is normalised by its own
        mean and standard deviation, and not by `offset` and `scale`.
    match : GainMatch
        Gain and offset of the second exposures against the first.
    pair_calibration, single_calibration : (slope, intercept)
        Map the mean of both outputs, or a single output, to normalised intensities.
    value_range : (float, float)
        Least and greatest intensity of the result on the first training pair.
    shift : (float, float)
        Of second against first, (dy, dx) in pixels.
    record : dict
        How it was trained; JSON-ready.
    use : "both" or "first"
        Of a pair: the mean of the network applied to both exposures (less noise), or to the
        first alone (right where the two are not the same instant).
    normalise : bool
        Return the paper's normalised result, 0 to 1 for `value_range` (which the held-out
        tiles tell: other pixels may lie a little outside), and not the input's units.
    orientations : "auto", 1 or 8
        The mean over how many flips and rotations of a frame.  8 costs eight times the time
        and gains about 0.3 dB; "auto" is 8 for a single frame of up to 1024 x 1024 pixels,
        else 1.
    outliers : "remove" or "keep"
        What the result shows at cosmic rays, hot and dead pixels: the scene that the network
        finds there, or the pixels as they are.
    device : str or torch.device
        "auto" (or None), "cpu", "cuda", "mps" ...
    pixel_size : (float, float), optional
        Height and width of a pixel in the training images; one number for both.
    pixel_unit : str, optional
        The unit of `pixel_size`, for example "nm".
    optimiser : OptimiserConfig
        How the network was trained, for continuing.
    state : object
        What continuing the training exactly needs; not saved in the file.

    Raises
    ------
    ValueError
        If `use`, `orientations` or `outliers` is none of theirs.

    Examples
    --------
    >>> from napari_lowdose import Noise2Noise, denoise
    >>> from napari_lowdose.samples import stem_pair
    >>> first, second, _ = stem_pair()
    >>> model = Noise2Noise(epochs=2).train(first[:128, :128], second[:128, :128])
    >>> denoise(first, model).shape
    (256, 256)
    """

    takes: ClassVar[str] = "either"

    architecture: UNetConfig
    weights: Mapping[str, NDArray[Any]] = field(repr=False)
    offset: float
    scale: float
    match: GainMatch = GainMatch(1.0, 0.0)  # noqa: RUF009  (it is frozen)
    pair_calibration: tuple[float, float] = (1.0, 0.0)
    single_calibration: tuple[float, float] = (1.0, 0.0)
    value_range: tuple[float, float] = (0.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)
    record: Mapping[str, Any] = field(default_factory=dict, repr=False)
    use: Literal["both", "first"] = "both"
    normalise: bool = False
    orientations: Literal["auto", 1, 8] = "auto"
    levels: tuple[Level, ...] = ()
    outliers: Literal["remove", "keep"] = "remove"
    device: str = "auto"
    pixel_size: tuple[float, float] | None = None
    pixel_unit: str | None = None
    optimiser: OptimiserConfig = OPTIMISERS["fast"]
    state: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "use", one_of("use", self.use, ("both", "first")))
        object.__setattr__(self, "normalise", flag("normalise", self.normalise))
        object.__setattr__(self, "device", device_name(self.device))
        object.__setattr__(self, "orientations", _orientations(self.orientations))
        object.__setattr__(self, "outliers", one_of("outliers", self.outliers, ("remove", "keep")))
        size, unit = checked_pixel_size(self.pixel_size, self.pixel_unit)
        object.__setattr__(self, "pixel_size", size)
        object.__setattr__(self, "pixel_unit", unit)

    def steps(self, image: Any | Pair) -> Iterator[Step]:
        """Denoise frames, or pairs of frames.

        Parameters
        ----------
        image : (..., Y, X) array, or tuple of two
            Frames of which there is one exposure each, or a pair.

        Yields
        ------
        Step
            Of frames; the last one of each frame has its image.
        PairStep
            Of pairs.

        Raises
        ------
        ValueError
            If a frame cannot be denoised as it is, or its result is not finite.
        MemoryError
            If even small tiles need too much.
        """
        given = image if isinstance(image, tuple) else (image,)
        exposures = tuple(as_image(exposure) for exposure in given)
        for exposure in exposures:
            check_image(exposure)
        if len(exposures) not in (1, 2) or len({exposure.shape for exposure in exposures}) > 1:
            shapes = " and ".join(str(exposure.shape) for exposure in exposures)
            raise ValueError(f"a pair is two exposures of the same shape, these have {shapes}.")
        predictor = self._predictor()
        chosen = self.orientations
        orientations = n_orientations(exposures[0].shape) if chosen == "auto" else chosen
        part_of_movie = hasattr(exposures[0], "frame_names")  # which is warned of once
        told = _told.setdefault(self, set()) if part_of_movie else set()

        in_movie = exposures[0].ndim > 2
        n_outliers = 0

        def frame_steps(*exposures: NDArray[Any]) -> Iterator[Step]:
            nonlocal n_outliers
            for exposure in exposures:
                if not (in_movie and is_constant(exposure)):  # a shutter was closed
                    check_pixels(exposure, SMALLEST_FRAME)
            frames = NormalisedFrames.of(self, *exposures)
            for part in frames.sound.frames:
                if not is_constant(part):
                    warn_of_pixels(part)
            n_outliers += frames.sound.n_outliers
            yield Step(fraction=0.0, message="applying the network")
            if any(frames.sound.constant):
                yield from self._closed_steps(predictor, orientations, frames, told)
                return
            self._warn_if_unlike(frames, told)
            if len(exposures) == 2:
                yield from self._pair_steps(predictor, orientations, frames)
                return
            output = yield from report(
                predictor.steps(frames.inputs[0], orientations), 0.0, 1.0, "applying the network"
            )
            yield Step(
                fraction=1.0, message="done", image=frames.image(output, self.single_calibration)
            )

        yield from over_frames(exposures, _finite_only(frame_steps), self.of_constant)
        if n_outliers and "outliers" not in told:
            told.add("outliers")
            warnings.warn(self._about_outliers(n_outliers), UserWarning, stacklevel=2)

    def of_constant(self, *frames: NDArray[Any]) -> NDArray[np.float32]:
        """Return what a frame that is constant (a closed shutter) is in a result.

        Parameters
        ----------
        *frames : (Y, X) arrays
            One frame, or the two of a pair.

        Returns
        -------
        (Y, X) float32 array
            The first as it is; where the result is normalised, in its units.
        """
        return NormalisedFrames.of(self, *frames).unchanged()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network into a safetensors file; an existing one is replaced as a whole.

        Parameters
        ----------
        path : path
            Usually ``.safetensors``.

        Raises
        ------
        OSError
            If it cannot be written; what was there before is then still there.
        """
        from napari_lowdose.noise2noise.model_file import save_model

        save_model(path, {each.name: getattr(self, each.name) for each in fields(self)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Noise2NoiseModel:
        """Read a network that `save` wrote.

        Parameters
        ----------
        path : path

        Returns
        -------
        Noise2NoiseModel

        Raises
        ------
        OSError
            If the file cannot be opened.
        ValueError
            If it is no such file, damaged, or of a newer version.
        """
        from napari_lowdose.noise2noise.model_file import load_model

        return load_model(path, cls)

    def _predictor(self) -> Any:
        """Return the network, built once: a lazy movie asks for every frame by itself."""
        from napari_lowdose.noise2noise.device import choose_device
        from napari_lowdose.noise2noise.prediction import Predictor, build_network, fused

        if self not in _predictors:
            network = fused(build_network(self.architecture, self.weights))
            _predictors[self] = Predictor(network, choose_device(self.device))
        return _predictors[self]

    def _pair_steps(
        self, predictor: Any, orientations: int, frames: NormalisedFrames
    ) -> Generator[Step, None, None]:
        first, second = frames.inputs
        end = 0.5
        r1 = yield from report(
            predictor.steps(first, orientations), 0.0, end, "applying the network to the first"
        )
        r2 = yield from report(
            predictor.steps(second, orientations), end, 1.0, "applying the network to the second"
        )
        if any(self.shift):
            r2 = _shifted_back(r2, self.shift)
        mean = (r1 + r2) / 2
        slope, _ = frames.units(self.pair_calibration)
        disagreement = np.zeros(frames.given[0].shape, np.float32)
        disagreement[frames.sound.area] = np.abs(r1 - r2) * np.float32(slope / 2)
        image = frames.image(r1, self.single_calibration)
        if self.use == "both":
            image = frames.image(mean, self.pair_calibration)
        yield PairStep(fraction=1.0, message="done", image=image, disagreement=disagreement)

    def _closed_steps(
        self, predictor: Any, orientations: int, frames: NormalisedFrames, told: set[str]
    ) -> Generator[Step, None, None]:
        """Denoise a frame of a movie of which one exposure, or both, were not made."""
        constant = frames.sound.constant
        if all(constant) or (constant[0] and self.use == "first"):
            yield Step(fraction=1.0, message="constant", image=frames.unchanged())
            return
        good = constant.index(False)
        name = ("first", "second")[good]
        kind = f"from the {name} alone"
        if kind not in told:
            told.add(kind)
            warnings.warn(
                f"One exposure of a frame is constant: the result is {kind}.",
                UserWarning,
                stacklevel=3,
            )
        output = yield from report(
            predictor.steps(frames.inputs[good], orientations),
            0.0, 1.0, f"applying the network to the {name}",
        )  # fmt: skip
        if good and any(self.shift):
            output = _shifted_back(output, self.shift)
        yield Step(
            fraction=1.0, message="done", image=frames.image(output, self.single_calibration)
        )

    def _about_outliers(self, n: int) -> str:
        fate = (
            "unchanged in the result"
            if self.outliers == "keep"
            else "replaced in the result (outliers='keep' keeps their values)"
        )
        return (
            f"{n} outlier pixel{'s' * (n > 1)}, which neither scene nor noise explains: left out, "
            f"and {fate}."
        )

    def _warn_if_unlike(self, frames: NormalisedFrames, told: set[str]) -> None:
        """Warn once if a frame is not like those that the network was trained on."""
        frame = frames.inputs[0] if self.levels else frames.sound.frames[0]
        for kind, sentence in unlike(self.record.get("exposures", {}), frame):
            if kind not in told:
                told.add(kind)
                warnings.warn(sentence, UserWarning, stacklevel=3)


def _orientations(value: Any) -> Literal["auto", 1, 8]:
    """Return the number as an int: 8.0 means 8, True means nothing."""
    if isinstance(value, str) and value == "auto":
        return "auto"
    if is_finite(value) and value in (1, 8):
        return 8 if value == 8 else 1
    raise ValueError(f"orientations must be 'auto', 1 or 8, not {value!r:.100}.")


def _finite_only(frame_steps: Callable[..., Iterator[Step]]) -> Callable[..., Iterator[Step]]:
    """Refuse a result with NaN or infinity in it, instead of handing it on."""

    def checked(*exposures: NDArray[Any]) -> Iterator[Step]:
        for step in frame_steps(*exposures):
            if step.image is not None and not np.isfinite(step.image).all():
                raise ValueError(
                    "the result of the network is not finite: its intensities are far from those "
                    "of the training images, or the network is damaged. Train a network on images "
                    "of this kind."
                )
            yield step

    return checked


def n_orientations(shape: tuple[int, ...]) -> int:
    """Return in how many orientations an image of `shape` is denoised if nobody says."""
    return 8 if len(shape) == 2 and shape[0] * shape[1] <= _CAREFUL else 1


def about_exposures(frame: NDArray[Any]) -> dict[str, float]:
    """Return mean, standard deviation and noise of a frame: what a network gets used to."""
    wide = frame[..., :: max(1, frame.shape[-1] // 1024)].astype(np.float64)
    # Differences of next neighbours down a column: mostly noise, at a low dose
    noise = np.median(np.abs(np.diff(wide, axis=-2))) / (0.6745 * math.sqrt(2))
    return {"mean": float(wide.mean()), "std": float(wide.std()), "noise": float(noise)}


def unlike(known: Mapping[str, float], frame: NDArray[Any]) -> Iterator[tuple[str, str]]:
    """Yield in what respect a frame is not like the exposures of the training, and a sentence."""
    if not known or not known["std"]:
        return
    here = about_exposures(frame)
    if abs(here["mean"] - known["mean"]) > 2 * known["std"]:
        yield (
            "offset",
            f"this image has a mean of {here['mean']:.4g}, the network was trained at "
            f"{known['mean']:.4g}: another offset or brightness, and the result may be wrong.",
        )
    if not known["noise"]:
        return
    # Channels, each in units of its own contrast, differ in noise
    noisier, least = (
        here["noise"] / (known.get(name) or known["noise"]) for name in ("noise", "least_noise")
    )
    times = noisier if noisier >= 2 else least
    if noisier >= 2 or least <= 0.5:
        yield (
            "noise",
            f"this image has {times:.2g} times the noise that the network was trained on: "
            "another dose or exposure; train a network for it.",
        )


def _shifted_back(output: NDArray[np.float32], shift: tuple[float, float]) -> NDArray[np.float32]:
    """Bring the second's output, which is smooth, to where the first lies."""
    import torch

    from napari_lowdose.noise2noise.spline_shift import spline_shift

    back = torch.tensor([[-shift[0], -shift[1]]], dtype=torch.float32)
    image = torch.from_numpy(np.ascontiguousarray(output))[None, None]
    moved: NDArray[np.float32] = spline_shift(image, back)[0, 0].numpy()
    return moved
