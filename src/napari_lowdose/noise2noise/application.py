"""Apply a trained network to the frames of an image, or to pairs of frames."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.engine import Engine, Step, report
from napari_lowdose.frames import is_constant
from napari_lowdose.imaging.image_checks import check_pixels, warn_of_pixels
from napari_lowdose.noise2noise.exposure_statistics import unlike
from napari_lowdose.noise2noise.normalised_frames import NormalisedFrames

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numpy.typing import NDArray

    from napari_lowdose.noise2noise.model import Noise2NoiseModel

SMALLEST_FRAME = 32  # pixels


@dataclass(frozen=True, kw_only=True)
class PairStep(Step):
    """A step of a network that is applied to a pair; the `image` is the mean of both outputs.

    Attributes
    ----------
    disagreement : (Y, X) float32 array or None
        :math:`|R(I') - R(I'')| / 2`: where it is large, the two exposures disagree, and the
        result cannot be trusted.
    """

    disagreement: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class NetworkApplication(Engine):
    """A network that is applied to the frames of one image, or of one pair.

    Parameters
    ----------
    model : Noise2NoiseModel
    orientations : 1 or 8
        Number of orientations whose outputs are averaged.
    in_stack : bool
        Whether the frames belong to a stack, where an exposure may be constant.
    """

    takes = "either"

    model: Noise2NoiseModel
    orientations: int = 1
    in_stack: bool = False
    _warned: set[str] = field(default_factory=set, repr=False)

    def frame_steps(self, *frames: NDArray[Any]) -> Iterator[Step]:
        """Denoise a frame, or a pair of frames.

        Parameters
        ----------
        *frames : (Y, X) arrays
            One frame, or the two of a pair.

        Yields
        ------
        Step
            Of a frame; the last one has the image.
        PairStep
            Of a pair.

        Raises
        ------
        ValueError
            If a frame cannot be denoised, or the result is not finite.
        MemoryError
            If even small tiles need too much.
        """
        for frame in frames:
            if not (self.in_stack and is_constant(frame)):  # a shutter was closed
                check_pixels(frame, SMALLEST_FRAME)
        normalised = NormalisedFrames.of(self.model, *frames)
        for part in normalised.sound.frames:
            if not is_constant(part):
                warn_of_pixels(part)
        yield Step(fraction=0.0, message="applying the network")
        if any(normalised.sound.constant):
            steps = self._constant_steps(normalised)
        else:
            self._warn_if_unlike(normalised)
            steps = self._pair_steps(normalised) if len(frames) == 2 else self._steps(normalised)
        for step in steps:
            if step.image is not None and not np.isfinite(step.image).all():
                raise ValueError(
                    "the result of the network is not finite: its intensities are far from those "
                    "of the training images, or the network is damaged. Train a network on images "
                    "of this kind."
                )
            yield step
        if n := normalised.sound.n_outliers:
            self._warn("outliers", self._about_outliers(n))

    def constant_frame(self, *frames: NDArray[Any]) -> NDArray[np.float32]:
        """Return a constant frame in the units of the result."""
        return NormalisedFrames.of(self.model, *frames).unchanged()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the built network behind, and the state, which only further training needs."""
        state = {name: value for name, value in vars(self).items() if name != "_predictor"}
        return {**state, "model": replace(self.model, state=None)}

    @cached_property
    def _predictor(self) -> Any:
        from napari_lowdose.noise2noise.device import choose_device
        from napari_lowdose.noise2noise.prediction import Predictor

        return Predictor(self.model.network, choose_device(self.model.device))

    def _steps(self, frames: NormalisedFrames) -> Iterator[Step]:
        output = yield from self._output(frames.inputs[0], 0.0, 1.0, "")
        yield Step(
            fraction=1.0, message="done", image=frames.image(output, self.model.single_calibration)
        )

    def _pair_steps(self, frames: NormalisedFrames) -> Iterator[Step]:
        model, (first, second) = self.model, frames.inputs
        r1 = yield from self._output(first, 0.0, 0.5, " to the first")
        r2 = yield from self._output(second, 0.5, 1.0, " to the second")
        r2 = self._shifted_back(r2)
        slope, _ = frames.units(model.pair_calibration)
        disagreement = np.zeros(frames.given[0].shape, np.float32)
        disagreement[frames.sound.area] = np.abs(r1 - r2) * np.float32(slope / 2)
        image = frames.image(r1, model.single_calibration)
        if model.use == "both":
            image = frames.image((r1 + r2) / np.float32(2), model.pair_calibration)
        yield PairStep(fraction=1.0, message="done", image=image, disagreement=disagreement)

    def _constant_steps(self, frames: NormalisedFrames) -> Iterator[Step]:
        """Denoise a pair of a stack of which one exposure, or both, are constant."""
        constant = frames.sound.constant
        if all(constant) or (constant[0] and self.model.use == "first"):
            yield Step(fraction=1.0, message="constant", image=frames.unchanged())
            return
        good = constant.index(False)
        name = ("first", "second")[good]
        kind = f"from the {name} alone"
        self._warn(kind, f"One exposure of a frame is constant: the result is {kind}.")
        output = yield from self._output(frames.inputs[good], 0.0, 1.0, f" to the {name}")
        if good:
            output = self._shifted_back(output)
        yield Step(
            fraction=1.0, message="done", image=frames.image(output, self.model.single_calibration)
        )

    def _output(
        self, frame: NDArray[np.float32], start: float, end: float, which: str
    ) -> Generator[Step, None, NDArray[np.float32]]:
        work = self._predictor.steps(frame, self.orientations)
        output: NDArray[np.float32] = yield from report(
            work, start, end, f"applying the network{which}"
        )
        return output

    def _shifted_back(self, output: NDArray[np.float32]) -> NDArray[np.float32]:
        """Move the output of the second exposure, which is smooth, into register with the first."""
        dy, dx = self.model.shift
        if not (dy or dx):
            return output
        import torch

        from napari_lowdose.noise2noise.spline_shift import spline_shift

        back = torch.tensor([[-dy, -dx]], dtype=torch.float32)
        image = torch.from_numpy(np.ascontiguousarray(output))[None, None]
        moved: NDArray[np.float32] = spline_shift(image, back)[0, 0].numpy()
        return moved

    def _about_outliers(self, n: int) -> str:
        fate = (
            "unchanged in the result"
            if self.model.outliers == "keep"
            else "replaced in the result (outliers='keep' keeps their values)"
        )
        where = " in the first frame that has any" if self.in_stack else ""
        return (
            f"{n} outlier pixel{'s' * (n > 1)}{where}, which neither scene nor noise explains: "
            f"left out, and {fate}."
        )

    def _warn_if_unlike(self, frames: NormalisedFrames) -> None:
        """Warn if a frame is unlike those that the network was trained on."""
        frame = frames.inputs[0] if self.model.levels else frames.sound.frames[0]
        for kind, sentence in unlike(self.model.record.get("exposures", {}), frame):
            self._warn(kind, sentence)

    def _warn(self, kind: str, sentence: str) -> None:
        """Warn once for all frames."""
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(sentence, UserWarning, stacklevel=3)
