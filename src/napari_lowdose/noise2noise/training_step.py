"""What training yields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_lowdose.steps import Step

if TYPE_CHECKING:
    from napari_lowdose.noise2noise.model import Noise2NoiseModel


@dataclass(frozen=True, kw_only=True)
class TrainingStep(Step):
    """How far training has come; every second or two with a preview as its `image`.

    Attributes
    ----------
    epoch : float
        Epochs so far, over all continuations.  In one epoch as many pixels are seen as the
        training pairs have.
    n_steps : int
        Steps of the optimiser so far, over all continuations.
    loss : float
        1 - Pearson correlation of output and partner, Eq. (4); the mean since the last
        TrainingStep.
    validation_loss : float or None
        The same on tiles that training never saw.  None where it was not evaluated at this
        step.
    gain : (float, float) or None
        95 % interval of the gain in PSNR over one exposure, dB, from the held-out tiles.  An
        infinite upper end means 'at least'.  None as long as it is not known.
    model : Noise2NoiseModel or None
        The best so far, to keep if training is stopped here.
    device : str
        What the training runs on, for a person.
    last : bool
        Whether training ends with this step.
    """

    epoch: float
    n_steps: int
    loss: float
    validation_loss: float | None = None
    gain: tuple[float, float] | None = None
    model: Noise2NoiseModel | None = None
    device: str = ""
    last: bool = False

    def record(self) -> dict[str, Any]:
        """Return what training did, with its last step only: JSON-ready."""
        if not self.last or self.model is None:
            return {}
        return {"training": dict(self.model.record)}
