"""Configuration of the network and of its training, and the two presets.

Training depends on these classes and not on the engine, because the engine imports training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_lowdose.pairs.view_map import Matrix

PresetName = Literal["auto", "fast", "paper"]
LARGEST = 2**31  # maximum size of all weights, bytes; the paper's network has 31 million


@dataclass(frozen=True)
class UNetConfig:
    """Architecture of a U-Net.

    Attributes
    ----------
    width : int
        Channels of the first level.  Each level below has twice as many.
    levels : int
        Number of times the U-Net halves the image.
    unshuffle : int
        Blocks of ``unshuffle x unshuffle`` pixels become channels before the first convolution.
    batch_norm : bool
        Whether batch normalisation follows every convolution.
    smoothing : int
        Width in pixels (odd) of a learned smoothing kernel that bypasses the U-Net.  0 for none.
    context : int
        Number of frames before and after each frame that are input, too.
    """

    width: int
    levels: int
    unshuffle: int
    batch_norm: bool
    smoothing: int
    context: int = 0

    @property
    def n_frames(self) -> int:
        """Number of frames that are input to the network: its input channels."""
        return 2 * self.context + 1


@dataclass(frozen=True)
class OptimiserConfig:
    """Batches, learning rate and maximum length of a training.

    Attributes
    ----------
    batch_size : int
        Crops per batch.
    crop_size : int
        Side of a crop, pixels.
    learning_rate : float
        Peak learning rate (Adam).
    epochs, steps : int
        Maximum length.  Training without a set length ends at a plateau, at the latest after
        `epochs` epochs or `steps` optimiser steps, whichever is later.
    """

    batch_size: int
    crop_size: int
    learning_rate: float
    epochs: int
    steps: int


@dataclass(frozen=True)
class TrainingConfig:
    """All parameters of a training, except the pair and the network.

    Attributes without a description are those of `Noise2Noise`.

    Attributes
    ----------
    optimiser : OptimiserConfig
    epochs, time_budget : float or None
        Length of the training, in epochs or seconds.  If both are None, it ends at a plateau.
    use : "both" or "first"
    normalise : bool
    device : str
    seed : int
    every : int
    shift : (float, float)
        Shift of the second exposure against the first, (dy, dx) in pixels.
    affine : 2 x 3 matrix or None
        Map from the first exposure to the second, in place of a shift.
    preview : tuple of int
        Index of the pair that the previews show.
    outliers : "remove" or "keep"
    fallback : bool
    pixel_size : (float, float) or None
    pixel_unit : str or None
    parameters : mapping
        Parameters of the engine, for the record.
    """

    optimiser: OptimiserConfig
    epochs: float | None
    time_budget: float | None
    use: Literal["both", "first"]
    normalise: bool
    device: str
    seed: int
    every: int
    shift: tuple[float, float]
    affine: Matrix | None
    preview: tuple[int, ...]
    outliers: Literal["remove", "keep"]
    fallback: bool
    pixel_size: tuple[float, float] | None
    pixel_unit: str | None
    parameters: Mapping[str, Any]


# "paper" is Fig. 1(b) and section 2 of the paper, which gives neither depth, width, optimiser,
# learning rate nor batch size.  With these values an epoch of 512 x 512 pixels takes about as
# long on the paper's GPU as the paper reports.
# "fast" was chosen by measurement (docs/noise2noise.md): highest gain after 10, 30 and 60 s.
PRESETS = {
    "paper": UNetConfig(width=32, levels=4, unshuffle=1, batch_norm=True, smoothing=0),
    "fast": UNetConfig(width=16, levels=2, unshuffle=2, batch_norm=True, smoothing=9),
}
OPTIMISERS = {
    "paper": OptimiserConfig(batch_size=2, crop_size=128, learning_rate=1e-3, epochs=300, steps=0),
    "fast": OptimiserConfig(batch_size=16, crop_size=64, learning_rate=2e-3, epochs=0, steps=2000),
}
