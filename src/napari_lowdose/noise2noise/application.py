"""Apply a trained network to the frames of an image, or to pairs of frames."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.engine import Engine, Step, report
from napari_lowdose.frames import is_constant
from napari_lowdose.imaging.image_checks import check_pixels, warn_of_pixels
from napari_lowdose.noise2noise.context import with_neighbours
from napari_lowdose.noise2noise.exposure_statistics import unlike
from napari_lowdose.noise2noise.normalised_frames import NormalisedFrames
from napari_lowdose.pairs.view_map import ViewMap
from napari_lowdose.warned import warn

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_lowdose.engine import Neighbours
    from napari_lowdose.noise2noise.model import Noise2NoiseModel

    Inputs = Sequence[NDArray[np.float32]]  # one (F, Y, X) array, or the two of a pair

SMALLEST_FRAME = 32  # minimum side, pixels


@dataclass(frozen=True, kw_only=True)
class PairStep(Step):
    r"""Progress report of the application of a network to a pair.

    Attributes
    ----------
    disagreement : (Y, X) float32 array or None
        :math:`|R(\hat I') - R(\hat I'')| / 2`, in the units of the result.  Where it is large, the
        result is not reliable.
    """

    disagreement: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class NetworkApplication(Engine):
    """Application of a network to the frames of one image, or of one pair.

    Parameters
    ----------
    model : Noise2NoiseModel
    orientations : 1 or 8
        Number of orientations whose outputs are averaged.
    in_stack : bool
        Whether the frames belong to a stack.  Only then may a frame be constant.
    beside : bool
        Leave half of the cores to other work.
    """

    title = "Noise2Noise"
    takes = "either"

    model: Noise2NoiseModel
    orientations: int = 1
    in_stack: bool = False
    beside: bool = False
    _warned: set[str] = field(default_factory=set, repr=False)

    def neighbours(self, number: int, n_frames: int) -> Sequence[int]:
        """Return the numbers of the frames before and after a frame; see `Engine.neighbours`."""
        return self.model.neighbours(number, n_frames)

    def frame_steps(
        self, *frames: NDArray[Any], neighbours: Neighbours | None = None
    ) -> Iterator[Step]:
        """Denoise a frame, or a pair of frames.

        Parameters
        ----------
        *frames : (Y, X) arrays
            One frame, or the two of a pair.
        neighbours : mapping, optional
            The frames around it, if the network has context; see `Engine.frame_steps`.

        Yields
        ------
        Step
            Progress for a single frame; the last one has the result.
        PairStep
            The last step for a pair, with the result.

        Raises
        ------
        ValueError
            If a frame cannot be denoised, or the result is not finite.
        MemoryError
            If there is not enough memory even for small tiles.
        """
        for frame in frames:
            if not (self.in_stack and is_constant(frame)):  # closed shutter
                check_pixels(frame, SMALLEST_FRAME)
        normalised = NormalisedFrames.of(self.model, *frames)
        # After cropping, because an info bar may be saturated or have constant rows
        for part in normalised.valid.frames:
            if not is_constant(part):
                warn_of_pixels(part)
        yield Step(fraction=0.0, message=f"applying {self._method}")
        if any(normalised.valid.constant):
            steps = self._constant_steps(normalised, self._inputs(normalised, neighbours))
        else:
            self._warn_if_unlike(normalised)
            of_frames = self._pair_steps if len(frames) == 2 else self._steps
            steps = of_frames(normalised, self._inputs(normalised, neighbours))
        for step in steps:
            if step.image is not None and not np.isfinite(step.image).all():
                raise ValueError(
                    "the result of the network is not finite: the intensities of the image are far "
                    "from those of the training images, or the network is damaged. Train a network "
                    "on such images."
                )
            yield step
        if n := normalised.valid.n_outliers:
            self._warn("outliers", self._about_outliers(n))

    def constant_frame(self, *frames: NDArray[Any]) -> NDArray[np.float32]:
        """Return the result for a constant frame: the frame in the units of the result."""
        return NormalisedFrames.of(self.model, *frames).unchanged()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickling, without the torch module and the training state."""
        state = {name: value for name, value in vars(self).items() if name != "_predictor"}
        return {**state, "model": replace(self.model, state=None)}

    @property
    def _method(self) -> str:
        return "the network"

    @property
    def _calibrations(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Slope and intercept of the mean of both outputs, and of a single output, Eq. (9)."""
        return self.model.pair_calibration, self.model.single_calibration

    @cached_property
    def _predictor(self) -> Any:
        from napari_lowdose.noise2noise.device import choose_device
        from napari_lowdose.noise2noise.prediction import Predictor

        return Predictor(self.model.network, choose_device(self.model.device), self.beside)

    def _inputs(self, frames: NormalisedFrames, neighbours: Neighbours | None) -> Inputs:
        """Return the input of the network, with the frames around a frame if it has context."""
        if self.model.context and not neighbours:
            self._warn(
                "alone",
                "The network sees the frames before and after each frame, and this is a single "
                "frame: its result is less good than within a movie.",
            )
        return with_neighbours(frames, self.model.context, neighbours)

    def _steps(self, frames: NormalisedFrames, inputs: Inputs) -> Iterator[Step]:
        output = yield from self._output(inputs[0], 0.0, 1.0, "")
        yield Step(fraction=1.0, message="done", image=frames.image(output, self._calibrations[1]))

    def _pair_steps(self, frames: NormalisedFrames, inputs: Inputs) -> Iterator[Step]:
        first, second = inputs
        of_pair, of_single = self._calibrations
        r1 = yield from self._output(first, 0.0, 0.5, " to the first")
        r2 = yield from self._output(second, 0.5, 1.0, " to the second")
        r2 = self._shifted_back(r2, r1, frames)
        slope, _ = frames.units(of_pair)
        disagreement = np.zeros(frames.given[0].shape, np.float32)
        disagreement[frames.valid.area] = np.abs(r1 - r2) * np.float32(slope / 2)
        image = frames.image(r1, of_single)
        if self.model.use == "both":
            image = frames.image((r1 + r2) / np.float32(2), of_pair)
        yield PairStep(fraction=1.0, message="done", image=image, disagreement=disagreement)

    def _constant_steps(self, frames: NormalisedFrames, inputs: Inputs) -> Iterator[Step]:
        """Denoise a pair, in a stack, with one or two constant exposures."""
        constant = frames.valid.constant
        if all(constant) or (constant[0] and self.model.use == "first"):
            yield Step(fraction=1.0, message="constant", image=frames.unchanged())
            return
        good = constant.index(False)  # the exposure with the shutter open
        name = ("first", "second")[good]
        kind = f"from the {name} alone"
        self._warn(kind, f"One exposure of a frame is constant: the result is {kind}.")
        output = yield from self._output(inputs[good], 0.0, 1.0, f" to the {name}")
        if good:
            output = self._shifted_back(output, output, frames)
        yield Step(fraction=1.0, message="done", image=frames.image(output, self._calibrations[1]))

    def _output(
        self, frame: NDArray[np.float32], start: float, end: float, which: str
    ) -> Generator[Step, None, NDArray[np.float32]]:
        work = self._predictor.steps(frame, self.orientations)
        output: NDArray[np.float32] = yield from report(
            work, start, end, f"applying {self._method}{which}"
        )
        return output

    def _shifted_back(
        self, output: NDArray[np.float32], first: NDArray[np.float32], frames: NormalisedFrames
    ) -> NDArray[np.float32]:
        """Shift the output for the second exposure into register with the first.

        Where the second view does not reach, it is the output for the first.
        """
        if self.model.affine is not None:
            rows, columns = frames.valid.area
            view_map = ViewMap(self.model.affine).counted_from((rows.start, columns.start))
            return np.where(view_map.inside(output.shape), view_map.resample(output), first)
        dy, dx = self.model.shift
        if not (dy or dx):
            return output
        from napari_lowdose.noise2noise.spline_shift import shifted  # loads torch

        return shifted(output, (-dy, -dx))

    def _about_outliers(self, n: int) -> str:
        treatment = (
            "not denoised and unchanged in the result"
            if self.model.outliers == "keep"
            else "replaced in the result (outliers='keep' keeps their values)"
        )
        where = " in the first frame that has any" if self.in_stack else ""
        return (
            f"{n} outlier pixel{'s' * (n > 1)}{where}, not explained by scene or noise: "
            f"{treatment}."
        )

    def _warn_if_unlike(self, frames: NormalisedFrames) -> None:
        """Warn if a frame differs from the training images."""
        frame = frames.inputs[0] if self.model.levels else frames.valid.frames[0]
        for kind, sentence in unlike(self.model.record.get("exposures", {}), frame):
            self._warn(kind, sentence)

    def _warn(self, kind: str, sentence: str) -> None:
        """Warn once for all frames of a stack."""
        if kind not in self._warned:
            self._warned.add(kind)
            warn(sentence, stacklevel=3)
