"""The running mean of the last frames, with which other methods are compared."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.engine import Engine, Step
from napari_lowdose.parameters import whole_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


@dataclass(frozen=True)
class RunningMean(Engine):
    """Mean of the last n frames of a running source, as cameras and scan generators offer it.

    It blurs whatever moves, and it lags behind: a scene that changes is only right again after n
    frames.  It is here for comparison.

    Parameters
    ----------
    n : int
        Number of frames.  The noise of an unchanged scene falls with the square root of n.

    Raises
    ------
    ValueError
        If n is not a whole number, at least 1.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_lowdose import RunningMean, denoise_live
    >>> frames = [np.arange(16.0).reshape(4, 4) + shift for shift in (0, 1, 5)]
    >>> [float(step.image[0, 0]) for step in denoise_live(frames, RunningMean(2))]
    [0.0, 0.5, 3.0]
    """

    title = "Running mean"
    takes = "image"

    n: int = 8
    _frames: deque[NDArray[Any]] = field(
        init=False, repr=False, compare=False, metadata={"changes_result": False}
    )

    def __post_init__(self) -> None:
        n = whole_number("n", self.n, 1)
        object.__setattr__(self, "n", n)  # the dataclass is frozen
        object.__setattr__(self, "_frames", deque(maxlen=n))

    def for_live(self) -> RunningMean:
        """Return a running mean without frames; see `Engine.for_live`."""
        return RunningMean(self.n)

    def frame_steps(self, *frames: NDArray[Any]) -> Iterator[Step]:
        """Return the mean of this frame and of those before it; see `Engine.frame_steps`."""
        (frame,) = frames
        self._frames.append(frame)
        # In float64, because float32 cannot hold the sum of large integers
        mean = np.asarray(np.mean(self._frames, axis=0, dtype=np.float64), np.float32)
        yield Step(fraction=1.0, message=f"mean of {len(self._frames)} frames", image=mean)
