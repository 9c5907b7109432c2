"""Standard error of each pixel of a result of REUCID."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.blas import on_one_blas_thread
from napari_lowdose.engine import Step, map_yields, report, rescale_steps
from napari_lowdose.evidence import checked_frame
from napari_lowdose.imaging.image_area import image_area
from napari_lowdose.parameters import flag, whole_number
from napari_lowdose.reucid import Reucid
from napari_lowdose.reucid.alike import AlikeStep
from napari_lowdose.reucid.stack_step import StackStep
from napari_lowdose.reucid.standard_error import calibrated
from napari_lowdose.warned import without_warnings

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numpy.typing import NDArray

    from napari_lowdose.engine import Neighbours
    from napari_lowdose.reucid.standard_error import StandardError


def standard_error(
    image: Any,
    engine: Reucid,
    *,
    step: int | None = None,
    redraw: bool = True,
    neighbours: Neighbours | None = None,
) -> NDArray[np.float32]:
    """Return the noise that is left in each pixel of a denoised image.

    With given eigenpatches and groups, the result is a weighted sum of the pixels of the image.
    The standard error is exactly that of this sum, for the noise estimated from the image.  Alike
    patches are grouped by what they show together with their noise.  By how much this raises the
    standard error is measured: the result is taken for the truth, noise is drawn twice, and both
    images are denoised.

    Parameters
    ----------
    image : (Y, X) array
        Raw image with finite pixels, any real dtype.  It is denoised again.
    engine : Reucid
        For a frame of a stack, with the `patch_size` that was chosen for the stack.
    step : int, optional
        With alike or several random stacks: distance, pixels, of the positions at which the
        standard error is computed; it is interpolated between them.  By default a fifth of the
        patch width, which is 1 to 3 % off, and 5 % where deviations were restored.
    redraw : bool
        False for the standard error with given groups.  It is too small.
    neighbours : mapping, optional
        The frames around the image, for `frames_together`; see `Reucid.frame_steps`.

    Returns
    -------
    (Y, X) float32 array
        Standard deviation of the noise of the result, grey levels.  NaN outside the image area.

    Raises
    ------
    ValueError
        If the image is not a single frame or cannot be denoised, or if the engine is not REUCID.

    Notes
    -----
    Structure that is blurred or weakened is not included, because it is no noise.  Neither are
    the error of the offsets of rows, nor noise that neighbouring pixels share.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_lowdose import Reucid
    >>> fringes = 50 + 40 * np.cos(np.arange(64) / 2)
    >>> noisy = np.random.default_rng(0).poisson(fringes, (64, 64))
    >>> error = standard_error(noisy, Reucid(patch_size=9))
    >>> print(error.shape, bool(error.mean() < 0.5 * np.sqrt(50)))
    (64, 64) True
    """
    *_, last = standard_error_steps(image, engine, step=step, redraw=redraw, neighbours=neighbours)
    assert last.image is not None  # the last step has the result
    return last.image


def standard_error_steps(
    image: Any,
    engine: Reucid,
    *,
    step: int | None = None,
    redraw: bool = True,
    neighbours: Neighbours | None = None,
) -> Iterator[Step]:
    """Compute the standard error step by step.

    Parameters
    ----------
    image, engine, step, redraw, neighbours
        As for `standard_error`.

    Yields
    ------
    Step
        The last one has the standard error as its `image`.
    """
    if not isinstance(engine, Reucid):
        raise ValueError(
            f"The standard error is known for REUCID, not for {type(engine).__name__}: give "
            "Reucid(...)."
        )
    if step is not None:
        step = whole_number("step", step, 1)
    redraw = flag("redraw", redraw)
    checked_frame(image, "the image")
    frame = np.asarray(image)
    yield from on_one_blas_thread(_steps(frame, engine, step, redraw, neighbours))


def _steps(
    frame: NDArray[Any],
    engine: Reucid,
    step: int | None,
    redraw: bool,
    neighbours: Neighbours | None,
) -> Generator[Step, None, None]:
    first = _Denoised(engine, neighbours)
    error_of = yield from rescale_steps(first.steps(frame), 0.0, 0.25)
    error = yield from report(error_of(step), 0.25, 0.5, "standard error")
    area = image_area(frame)
    pilot, last = first.stacks[0], first.stacks[-1]
    if redraw and isinstance(last, AlikeStep) and last.n_groups > 0:
        rng = np.random.default_rng(engine.seed)
        size = pilot.patch_size, pilot.wide
        results = []
        for begin in (0.5, 0.75):
            noisy = frame.astype(np.float64)
            noisy[area] = last.noise.draw(first.image[area], rng)
            again = _Denoised(engine, neighbours)
            steps = without_warnings(again.steps(noisy, size))
            yield from rescale_steps(steps, begin, begin + 0.25)
            results.append(again.image[area])
        error = calibrated(error, results[0] - results[1])
    whole = np.full(frame.shape, np.nan, np.float32)
    whole[area] = error
    yield Step(fraction=1.0, message="standard error", image=whole)


class _Denoised:
    """A frame that is denoised without showing it."""

    def __init__(self, engine: Reucid, neighbours: Neighbours | None) -> None:
        self._engine, self._neighbours = engine, neighbours
        self.stacks: list[StackStep] = []

    @property
    def image(self) -> NDArray[np.float32]:
        """The result."""
        image = self.stacks[-1].image
        assert image is not None  # each stack has an image
        return image

    def steps(
        self, frame: NDArray[Any], size: tuple[int, bool] | None = None
    ) -> Generator[Step, None, StandardError]:
        """Denoise a frame; see `Reucid.steps_of_size`."""

        def without_image(step: Step) -> Step:
            if isinstance(step, StackStep):
                self.stacks.append(step)
            return Step(fraction=step.fraction, message=step.message)

        steps = self._engine.steps_of_size(frame, size, neighbours=self._neighbours)
        return (yield from map_yields(steps, without_image))
