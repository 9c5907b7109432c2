"""A trained network, and where it comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

from napari_lowdose.noise2noise import Noise2NoiseModel
from napari_lowdose.noise2noise.training_step import how_far

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.layers import Image


_SAME = 1e-3  # of what is told of the exposures: rounding, and no other image
_files: WeakKeyDictionary[Noise2NoiseModel, str] = WeakKeyDictionary()


def remember_file(model: Noise2NoiseModel, path: str) -> None:
    """Remember that `path` holds `model`, and no longer what it held before."""
    for other in [each for each, file in _files.items() if file == path]:
        del _files[other]
    _files[model] = path


def file_of_network(model: object) -> str | None:
    """Return the file that holds `model`; None if it was never saved, or is gone.

    Parameters
    ----------
    model : Noise2NoiseModel
        Or any other engine, which has none.
    """
    path = _files.get(model) if isinstance(model, Noise2NoiseModel) else None
    return path if path is not None and Path(path).is_file() else None


class Training(Protocol):
    """A run that trains a network on two layers (`PairRun`)."""

    def was_trained_on(self, first: Image | None, second: Image | None) -> bool:
        """Whether the layers are the pair of this run, with unchanged data."""
        ...


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """The network that Save, Continue and Apply mean.

    Attributes
    ----------
    model : Noise2NoiseModel
    name : str
        Of the scene that it was trained on, or of its file.
    path : str or None
        Its file, if it has one.
    run : Training or None
        The training that it comes from; None if it was loaded.
    """

    model: Noise2NoiseModel
    name: str
    path: str | None = None
    run: Training | None = None

    def __post_init__(self) -> None:
        if self.path is not None:
            remember_file(self.model, self.path)

    @property
    def about(self) -> str:
        """What to say of it, in a few words."""
        epochs = self.model.record.get("epochs")
        if epochs is None:
            return self.name
        return f"{self.name}, {how_far(epochs, self.model.record.get('n_steps', 0))}"

    @property
    def file_name(self) -> str:
        """What to call its file."""
        safe = "".join(c if c.isalnum() or c in " -_" else "_" for c in self.name).strip()
        return f"{safe or 'network'}.safetensors"

    @property
    def gain(self) -> tuple[float, float] | None:
        """The 95 % interval of the gain that was measured when it was trained, dB."""
        told = self.model.record.get("gain_db")
        if not told:
            return None
        low, high = told
        return (
            float("-inf") if low is None else float(low),
            float("inf") if high is None else float(high),
        )

    def was_trained_on(
        self, layers: tuple[Image | None, Image | None], exposures: Mapping[str, float]
    ) -> bool:
        """Whether `layers` are the pair that it was trained on.

        Parameters
        ----------
        layers : (Image or None, Image or None)
        exposures : mapping from str to float
            What `about_exposures` tells of the first; a network from a file knows its pair by
            that.
        """
        if self.run is not None:
            return self.run.was_trained_on(*layers)
        known = self.model.record.get("exposures", {})
        return bool(known) and all(
            name in exposures and math.isclose(exposures[name], value, rel_tol=_SAME, abs_tol=1e-30)
            for name, value in known.items()
        )
