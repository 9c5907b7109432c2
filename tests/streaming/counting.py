"""An engine and a movie for the tests of streaming; imports neither torch nor scikit-image.

`test_killed` copies a process that has loaded this module, dozens of times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_lowdose.engine import Engine, Step


@dataclass(frozen=True)
class Counting(Engine):
    """Multiplies, in two steps with an image each, and counts the frames."""

    factor: float = 2.0
    seen: list[int] = field(default_factory=list, compare=False)

    def __reduce__(self) -> Any:
        return Counting, (self.factor,)

    def frame_steps(self, frame: np.ndarray) -> Iterator[Step]:
        if np.isnan(frame).any():
            raise ValueError("there is nothing to see.")
        self.seen.append(int(frame[0, 0]))
        yield Step(fraction=0.5, message="half way", image=np.zeros(frame.shape, np.float32))
        yield Step(fraction=1.0, message="done", image=(self.factor * frame).astype(np.float32))


def numbered(n: int, shape: tuple[int, int] = (5, 6)) -> np.ndarray:
    movie = np.arange(n * shape[0] * shape[1], dtype=np.float64).reshape(n, *shape)
    movie[:, 0, 0] = range(n)
    return movie
