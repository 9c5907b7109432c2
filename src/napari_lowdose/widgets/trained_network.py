"""A trained network, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_lowdose.noise2noise.training_step import how_far

if TYPE_CHECKING:
    from napari_lowdose.noise2noise import Noise2NoiseModel
    from napari_lowdose.widgets.pair_run import PairRun


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
    run : PairRun or None
        The training that it comes from; None if it was loaded.
    """

    model: Noise2NoiseModel
    name: str
    path: str | None = None
    run: PairRun | None = None

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
