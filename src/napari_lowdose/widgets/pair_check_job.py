"""The checks of a pair, as steps for the job runner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_lowdose.steps import Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_lowdose.noise2noise.pair_checks import PairNote


@dataclass(frozen=True, kw_only=True)
class PairCheckStep(Step):
    """The pair has been looked at.

    Attributes
    ----------
    notes : tuple of PairNote
    """

    notes: tuple[PairNote, ...]


def pair_check_steps(
    first: Any, second: Any, shift: tuple[float, float]
) -> Iterator[PairCheckStep]:
    """Yield what there is to say of a pair, of which a few frames are read (dask) only now."""
    from napari_lowdose.noise2noise.pair_checks import check_pair

    notes = tuple(check_pair(first, second, shift))
    yield PairCheckStep(fraction=0.5, message="pair checked", notes=notes)
    # While the notes are read: the first preview should not wait for this
    from napari_lowdose.noise2noise.training import warm_up

    warm_up()
    yield PairCheckStep(fraction=1, message="pair checked", notes=notes)
