"""A trained network and its origin."""

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


_RELATIVE_TOLERANCE = 1e-3  # relative tolerance of exposure statistics: covers rounding
_files: WeakKeyDictionary[Noise2NoiseModel, str] = WeakKeyDictionary()


def set_network_file(model: Noise2NoiseModel, path: str) -> None:
    """Remember `path` as the file of `model`, in place of the network saved there before."""
    for other in [each for each, file in _files.items() if file == path]:
        del _files[other]
    _files[model] = path


def network_file(model: object) -> str | None:
    """Return the file of `model`; None if it was never saved or was deleted.

    Parameters
    ----------
    model : Noise2NoiseModel
        Other engines have no file.
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
    """The network that Save, Continue and Apply use.

    Attributes
    ----------
    model : Noise2NoiseModel
    name : str
        Name of the training scene, or of the file.
    path : str or None
        Its file, if it has one.
    run : Training or None
        The training run; None if the network was loaded.
    """

    model: Noise2NoiseModel
    name: str
    path: str | None = None
    run: Training | None = None

    def __post_init__(self) -> None:
        if self.path is not None:
            set_network_file(self.model, self.path)

    @property
    def description(self) -> str:
        """A short description."""
        epochs = self.model.record.get("epochs")
        if epochs is None:
            return self.name
        return f"{self.name}, {how_far(epochs, self.model.record.get('n_steps', 0))}"

    @property
    def file_name(self) -> str:
        """Suggested file name."""
        safe = "".join(c if c.isalnum() or c in " -_" else "_" for c in self.name).strip()
        return f"{safe or 'network'}.safetensors"

    @property
    def gain(self) -> tuple[float, float] | None:
        """95 % confidence interval of the gain measured during training, dB."""
        gain = self.model.record.get("gain_db")
        if not gain:
            return None
        low, high = gain
        return (
            float("-inf") if low is None else float(low),
            float("inf") if high is None else float(high),
        )

    def was_trained_on(
        self, layers: tuple[Image | None, Image | None], exposures: Mapping[str, float]
    ) -> bool:
        """Whether `layers` are the pair that the network was trained on.

        Parameters
        ----------
        layers : (Image or None, Image or None)
        exposures : mapping from str to float
            Statistics of the first exposure from `about_exposures`; a network from a file
            identifies its pair by them.
        """
        if self.run is not None:
            return self.run.was_trained_on(*layers)
        known = self.model.record.get("exposures", {})
        return bool(known) and all(
            name in exposures
            and math.isclose(exposures[name], value, rel_tol=_RELATIVE_TOLERANCE, abs_tol=1e-30)
            for name, value in known.items()
        )
