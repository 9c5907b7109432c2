"""A trained network: an engine that can be saved to a file."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from napari_lowdose.engine import Engine, Step
from napari_lowdose.imaging.image_checks import check_image
from napari_lowdose.noise2noise.application import NetworkApplication
from napari_lowdose.noise2noise.channel_application import ChannelApplication
from napari_lowdose.noise2noise.config import OPTIMISERS
from napari_lowdose.noise2noise.context import neighbours_within
from napari_lowdose.noise2noise.gain_matching import GainMatch
from napari_lowdose.noise2noise.pixel_size import checked_pixel_size, pixel_size_warning
from napari_lowdose.pairs.view_map import checked_matrix
from napari_lowdose.parameters import device_name, flag, is_finite, one_of
from napari_lowdose.warned import warn

if TYPE_CHECKING:
    import os
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_lowdose.engine import Neighbours
    from napari_lowdose.frames import ImageOrPair
    from napari_lowdose.noise2noise.config import OptimiserConfig, UNetConfig
    from napari_lowdose.noise2noise.normalised_frames import Level
    from napari_lowdose.pairs.view_map import Matrix

_MAX_EIGHT = 2**20  # maximum size for eight orientations, pixels: one or two seconds
Pair = tuple[Any, Any]


@dataclass(frozen=True, eq=False)
class Noise2NoiseModel(Engine):
    """A trained network, ready to denoise images like its training images.

    Create it with `Noise2Noise.train` or `Noise2NoiseModel.load`.  It is immutable; change a field
    with ``dataclasses.replace(model, use="first")``.

    Parameters
    ----------
    architecture : UNetConfig
        Architecture of the network.
    weights : mapping from str to array
        Weights of the network.
    offset, scale : float
        Normalisation: the input of the network is (frame - offset) / scale.
    levels : tuple of Level
        Brightness levels, for example of the channels of a stack.  If there are any, each frame is
        normalised by its own mean and standard deviation instead of `offset` and `scale`.
    match : GainMatch
        Gain and offset of the second exposure relative to the first.
    pair_calibration, single_calibration : (slope, intercept)
        Map the mean of both outputs, or a single output, to normalised intensities, Eq. (9).
    value_range : (float, float)
        Minimum and maximum of the result on the held-out tiles, in the units of the input.
    shift : (float, float)
        Shift of the second exposure against the first, (dy, dx) in pixels.
    affine : 2 x 3 matrix, optional
        Map from the first exposure to the second, in place of a shift; see `Noise2Noise`.
    record : dict
        JSON-ready record of the training.
    use : "both" or "first"
        "both" averages the results of the two exposures of a pair, which has less noise.  "first"
        denoises only the first exposure, for scenes that change between the exposures.
    normalise : bool
        Scale the result so that `value_range` becomes 0 to 1, as in the paper, instead of the units
        of the input.  Pixels outside the held-out tiles may exceed this range slightly.
    orientations : "auto", 1 or 8
        Number of flips and rotations whose results are averaged.  8 takes eight times as long and
        gains about 0.3 dB.  "auto" is 8 for a single frame of up to 1024 x 1024 pixels, and 1
        otherwise.
    outliers : "remove" or "keep"
        Replace cosmic rays, hot and dead pixels by the scene, or leave them unchanged.
    device : str or torch.device
        "auto", "cpu", "cuda", "cuda:1" or "mps".
    pixel_size : float or (float, float), optional
        Height and width of a pixel in the training images.
    pixel_unit : str, optional
        Unit of `pixel_size`, for example "nm".
    optimiser : OptimiserConfig
        Training parameters, for continuation.
    channels : tuple of Noise2NoiseModel
        The networks of the channels, if each has its own.  Then `weights` and what belongs to them
        are those of the first channel, and are not used.
    channel_axis : int or None
        Leading axis of these channels in the training stack.
    state : object
        State of the training, for exact continuation.  It is not saved to the file.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    References
    ----------
    Pair paper (Yang et al. 2023), section 2.

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
    affine: Matrix | None = None
    channels: tuple[Noise2NoiseModel, ...] = ()
    channel_axis: int | None = None
    state: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "use", one_of("use", self.use, ("both", "first")))
        object.__setattr__(self, "normalise", flag("normalise", self.normalise))
        object.__setattr__(self, "device", device_name(self.device))
        object.__setattr__(self, "orientations", _orientations(self.orientations))
        object.__setattr__(self, "outliers", one_of("outliers", self.outliers, ("remove", "keep")))
        affine = None if self.affine is None else checked_matrix(self.affine)
        object.__setattr__(self, "affine", affine)
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
        return self.applied_to(given.leading, given.shape)

    @property
    def context(self) -> int:
        """Number of frames before and after each frame that the network sees."""
        return self.architecture.context

    def neighbours(self, number: int, n_frames: int) -> Sequence[int]:
        """Return the numbers of the frames before and after a frame; see `Engine.neighbours`."""
        return neighbours_within(number, n_frames, self.context)

    def frame_steps(
        self, *frames: NDArray[Any], neighbours: Neighbours | None = None
    ) -> Iterator[Step]:
        """Denoise one frame, or one pair of frames; see `Engine.frame_steps`."""
        whole = self.applied_to((), frames[0].shape)
        yield from whole.frame_steps(*frames, neighbours=neighbours)

    def for_live(self) -> Engine:
        """Return the network for a running source: in one orientation, on half of the cores."""
        if self.channels:
            return ChannelApplication(self, tuple(each.for_live() for each in self.networks()))
        return NetworkApplication(self, orientations=1, in_stack=True, beside=True)

    def with_pixel_size(
        self, pixel_size: tuple[float, float] | None, unit: str | None
    ) -> Noise2NoiseModel:
        """Return the network unchanged; warn if it was trained at a different pixel size."""
        warning = pixel_size_warning(self, pixel_size, unit)
        if warning is not None:
            warn(warning, stacklevel=2)
        return self

    def applied_to(
        self, leading: tuple[int, ...], shape: tuple[int, ...]
    ) -> NetworkApplication | ChannelApplication:
        """Return the network for the frames of an image or a pair.

        Parameters
        ----------
        leading : tuple of int
            Shape of the stack without rows and columns; empty for a single frame.
        shape : tuple of int
            Shape of the whole image.
        """
        if self.channels:
            parts = tuple(each.applied_to(leading, shape) for each in self.networks())
            return ChannelApplication(self, parts, self.channels_along(leading))
        chosen = self.orientations
        orientations = n_orientations(shape) if chosen == "auto" else chosen
        return NetworkApplication(self, orientations, in_stack=bool(leading))

    def networks(self) -> list[Noise2NoiseModel]:
        """Return the models of the channels, with the settings of this one."""
        names = ("use", "normalise", "orientations", "outliers", "device")
        settings: dict[str, Any] = {name: getattr(self, name) for name in names}
        return [replace(each, **settings) for each in self.channels]

    def channels_along(self, leading: tuple[int, ...]) -> int | None:
        """Return the axis of a stack along which it has these channels; None if there is none."""
        axis, n = self.channel_axis, len(self.channels)
        return axis if axis is not None and leading[axis : axis + 1] == (n,) else None

    @cached_property
    def network(self) -> Any:
        """The network R, a torch module built from `weights`."""
        from napari_lowdose.noise2noise.prediction import build_network, fused

        return fused(build_network(self.architecture, self.weights))

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickling, without the torch module, which each process builds."""
        return {name: value for name, value in vars(self).items() if name != "network"}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the network to a safetensors file.

        Parameters
        ----------
        path : path
            Usually with the suffix ``.safetensors``.  An existing file is replaced.

        Raises
        ------
        OSError
            If the file cannot be written.  An existing file is then unchanged.
        """
        from napari_lowdose.noise2noise.model_file import save_model

        save_model(path, _fields_of(self), [_fields_of(each) for each in self.channels])

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Noise2NoiseModel:
        """Load a network from a file written by `save`.  Loading executes no code from the file.

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
            If the file is not a napari-lowdose model, is damaged, or has a newer format.
        """
        from napari_lowdose.noise2noise.model_file import load_model

        return load_model(path, cls)


def _fields_of(model: Noise2NoiseModel) -> dict[str, Any]:
    return {each.name: getattr(model, each.name) for each in fields(model)}


def _orientations(value: Any) -> Literal["auto", 1, 8]:
    """Validate `orientations`; 8.0 is allowed, True is not."""
    if isinstance(value, str) and value == "auto":
        return "auto"
    if is_finite(value) and value in (1, 8):
        return 8 if value == 8 else 1
    raise ValueError(f"orientations must be 'auto', 1 or 8, not {value!r:.100}.")


def n_orientations(shape: tuple[int, ...]) -> int:
    """Return the number of orientations for "auto" and an image of the given shape."""
    return 8 if len(shape) == 2 and shape[0] * shape[1] <= _MAX_EIGHT else 1
