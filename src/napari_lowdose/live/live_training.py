"""Train a network on the last frames of a running source, and use it once it is the better one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_lowdose.engine import Engine
    from napari_lowdose.live.ring_buffer import RingBuffer
    from napari_lowdose.noise2noise import Noise2Noise


class LiveTraining:
    """A training in the background.

    Parameters
    ----------
    buffer : RingBuffer
        The last raw frames.
    against : Engine
        Method that denoises the frames until the network is better.
    engine : Noise2Noise, optional
        Parameters of the training.
    n_pairs : int
        Number of pairs of successive frames to train on.

    Attributes
    ----------
    winner : Engine or None
        The network, ready for single frames, while it is better than `against`.
    message : str
        How it goes, in a few words.
    """

    def __init__(
        self,
        buffer: RingBuffer,
        against: Engine,
        engine: Noise2Noise | None = None,
        n_pairs: int = 1,
    ) -> None:
        self.winner: Engine | None = None
        self.message = ""

    def start(self) -> None:
        """Begin in a thread of its own, as soon as there are enough frames."""

    def stop(self) -> None:
        """End the training; the network so far stays."""
