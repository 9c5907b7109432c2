"""The two networks and how each is trained: the paper's, and one for two CPU cores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PresetName = Literal["auto", "fast", "paper"]
LARGEST = 2**31  # bytes of all weights; the paper's have 31 million


@dataclass(frozen=True)
class Preset:
    """A network, and how it is trained where the person sets nothing else.

    Attributes
    ----------
    width : int
        Channels of the first level; each level below has twice as many.
    levels : int
        How often the U-Net halves the image.
    unshuffle : int
        Blocks of so many by so many pixels become channels before the first convolution.
    batch_norm : bool
        Whether batch normalisation follows every convolution.
    smoothing : int
        Width of a learned smoothing kernel by which the input goes round the U-Net to the
        output, odd; 0 for none.
    batch_size, crop_size : int
        Crops in a batch, and their side in pixels.
    learning_rate : float
        Of Adam, at its highest.
    epochs, steps : int
        Training ends after so many epochs or so many steps of the optimiser, whichever is later,
        if neither a number nor a plateau ended it before.
    """

    width: int
    levels: int
    unshuffle: int
    batch_norm: bool
    smoothing: int
    batch_size: int
    crop_size: int
    learning_rate: float
    epochs: int
    steps: int


PRESETS = {
    # Fig. 1(b) and section 2 of the paper.  Not told there: depth, width, optimiser, learning
    # rate and batch.  These make a 512 x 512 epoch on the paper's GPU last about what it says.
    "paper": Preset(
        width=32,
        levels=4,
        unshuffle=1,
        batch_norm=True,
        smoothing=0,
        batch_size=2,
        crop_size=128,
        learning_rate=1e-3,
        epochs=300,
        steps=0,
    ),
    # Chosen by measurement (docs/noise2noise.md): most decibels after 10, 30 and 60 s.
    "fast": Preset(
        width=24,
        levels=2,
        unshuffle=2,
        batch_norm=True,
        smoothing=9,
        batch_size=16,
        crop_size=64,
        learning_rate=2e-3,
        epochs=0,
        steps=2000,
    ),
}
