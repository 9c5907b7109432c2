"""A trained network: an engine like the others, and a file."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from napari_lowdose.engine import Engine, Step
from napari_lowdose.imaging.image_checks import check_image
from napari_lowdose.noise2noise.application import NetworkApplication
from napari_lowdose.noise2noise.config import OPTIMISERS
from napari_lowdose.noise2noise.gain_matching import GainMatch
from napari_lowdose.noise2noise.pixel_size import checked_pixel_size, pixel_size_warning
from napari_lowdose.parameters import device_name, flag, is_finite, one_of

if TYPE_CHECKING:
    import os
    from collections.abc import Generator, Iterator, Mapping

    from numpy.typing import NDArray

    from napari_lowdose.frames import ImageOrPair
    from napari_lowdose.noise2noise.config import OptimiserConfig, UNetConfig
    from napari_lowdose.noise2noise.normalised_frames import Level

_CAREFUL = 2**20  # pixels that are denoised in eight orientations within a second or two
Pair = tuple[Any, Any]


@dataclass(frozen=True, eq=False)
class Noise2NoiseModel(Engine):
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

    title = "Noise2Noise"
    takes = "either"

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

    @property
    def model(self) -> Noise2NoiseModel:
        """The network itself."""
        return self

    def prepare(self, given: ImageOrPair) -> Generator[Step, None, Engine]:
        """Build the network; see `Engine.prepare`."""
        for exposure in given.exposures:
            check_image(exposure)
        yield Step(fraction=0.0, message="building the network")
        return self._applied_to(given.leading, given.shape)

    def frame_steps(self, *frames: NDArray[Any]) -> Iterator[Step]:
        """Denoise a frame, or a pair of frames, by itself; see `Engine.frame_steps`."""
        yield from self._applied_to((), frames[0].shape).frame_steps(*frames)

    def with_pixel_size(
        self, pixel_size: tuple[float, float] | None, unit: str | None
    ) -> Noise2NoiseModel:
        """Return the network itself; warn if it was trained at another pixel size."""
        warning = pixel_size_warning(self, pixel_size, unit)
        if warning is not None:
            warnings.warn(warning, UserWarning, stacklevel=2)
        return self

    def _applied_to(self, leading: tuple[int, ...], shape: tuple[int, ...]) -> NetworkApplication:
        chosen = self.orientations
        orientations = n_orientations(shape) if chosen == "auto" else chosen
        return NetworkApplication(self, orientations, in_stack=bool(leading))

    @cached_property
    def network(self) -> Any:
        """The network R, a torch module built from `weights`."""
        from napari_lowdose.noise2noise.prediction import build_network, fused

        return fused(build_network(self.architecture, self.weights))

    def __getstate__(self) -> dict[str, Any]:
        """Leave the built network behind: every process builds its own."""
        return {name: value for name, value in vars(self).items() if name != "network"}

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


def _orientations(value: Any) -> Literal["auto", 1, 8]:
    """Return the number as an int: 8.0 means 8, True means nothing."""
    if isinstance(value, str) and value == "auto":
        return "auto"
    if is_finite(value) and value in (1, 8):
        return 8 if value == 8 else 1
    raise ValueError(f"orientations must be 'auto', 1 or 8, not {value!r:.100}.")


def n_orientations(shape: tuple[int, ...]) -> int:
    """Return in how many orientations an image of `shape` is denoised if nobody says."""
    return 8 if len(shape) == 2 and shape[0] * shape[1] <= _CAREFUL else 1
