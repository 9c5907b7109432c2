"""Train a network on the last frames of a running source, and use it once it is the better one."""

from __future__ import annotations

import atexit
import contextlib
import logging
import math
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_lowdose.blas import one_blas_thread
from napari_lowdose.error_line import one_line
from napari_lowdose.live.live_pairs import LivePairs, PairsOfFrames
from napari_lowdose.noise2noise import Noise2Noise
from napari_lowdose.noise2noise.evaluation.fresh_pair import FreshPair
from napari_lowdose.noise2noise.evaluation.gain_interval import GainInterval
from napari_lowdose.noise2noise.warm_start import load_torch
from napari_lowdose.parameters import whole_number
from napari_lowdose.run import denoise_frame
from napari_lowdose.warned import ignore, warnings_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from napari_lowdose.engine import Engine
    from napari_lowdose.live.ring_buffer import RingBuffer
    from napari_lowdose.noise2noise import Noise2NoiseModel

logger = logging.getLogger(__name__)

POLL = 0.05  # seconds between two looks at the buffer
MARGIN = 0.2  # dB by which the other must be better before the engines change places
# Pause between comparisons, in seconds and in units of the time that one takes; while training, of
# the processor, so that they take the same share of it on a busy machine.
WHILE_TRAINING = 1.0, 6.0, time.thread_time
AFTERWARDS = 3.0, 10.0, time.perf_counter


class LiveTraining:
    """A training in the background.

    The network and the engine that denoises the frames meanwhile are compared on frames that came
    after those of the training, again and again, also when the training has ended: a network is
    of no use once the scene has changed.

    Parameters
    ----------
    buffer : RingBuffer
        The last raw frames.
    against : Engine
        Method that denoises the frames until the network is better.
    engine : Noise2Noise, optional
        Parameters of the training.  `use` and `shift` are replaced by what the frames need.
    n_pairs : int
        Number of pairs of successive frames to train on, or of frames of a beamsplitter.

    Attributes
    ----------
    winner : Engine or None
        The network, ready for single frames, while it is better than `against`.
    model : Noise2NoiseModel or None
        The best network so far, for example to save it.
    message : str
        How it goes, in a few words.
    ended : bool
        Whether the training has ended; the comparisons may go on.

    Raises
    ------
    ValueError
        If the buffer is too small for the pairs, or the network would see neighbouring frames.
    """

    def __init__(
        self,
        buffer: RingBuffer,
        against: Engine,
        engine: Noise2Noise | None = None,
        n_pairs: int = 1,
    ) -> None:
        self.winner: Engine | None = None
        self.model: Noise2NoiseModel | None = None
        self.message = ""
        self.ended = False
        self._buffer, self._against = buffer, against
        self._n_pairs = whole_number("n_pairs", n_pairs, 1)
        self._pairs = PairsOfFrames(against)
        self._engine = engine or Noise2Noise()
        if self._engine.context:
            raise ValueError(
                "The frames of a running source come one by one, without those after them: train "
                "the network with context=0."
            )
        needed = n_pairs * self._pairs.per_pair
        if needed > buffer.n:
            raise ValueError(
                f"{n_pairs} pairs need {needed} frames, and the buffer keeps {buffer.n}: train on "
                "fewer pairs, or keep more frames."
            )
        self._enough, self._closed = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._begun = 0.0
        self._newest = -1  # number of the newest frame of the training
        self._drifts = False
        self._gains: tuple[GainInterval, GainInterval] | None = None  # network, against
        self._compared: tuple[Noise2NoiseModel, int] | None = None  # network, newest frame
        self._compare_at = 0.0
        self._has_won = False

    def start(self) -> None:
        """Begin in a thread of its own, as soon as there are enough frames."""
        self._thread = threading.Thread(target=self._work, name="live training", daemon=True)
        self._thread.start()
        atexit.register(self._end)

    def stop(self) -> None:
        """End the training.  The network so far stays, and is used while it is the better one."""
        self._enough.set()

    def close(self) -> None:
        """End the training and the comparisons."""
        self._end(timeout=1.0)

    def _end(self, timeout: float = 30.0) -> None:
        # At the end of the program PyTorch would abort it within an operation
        self._enough.set()
        self._closed.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _work(self) -> None:
        self.message = "training: loading PyTorch"
        try:
            from napari_lowdose.noise2noise.device import few_threads

            with few_threads(), one_blas_thread():
                try:
                    pairs = self._wait()
                    if pairs is None:
                        return
                    self._train(pairs)
                finally:
                    self.ended = True
                while not self._closed.is_set():
                    self._compare(*AFTERWARDS)
                    self._say()
                    self._closed.wait(POLL)
        except Exception as error:
            self.winner = None
            self.message = f"no network: {one_line(error)}"
            if not isinstance(error, (ValueError, MemoryError)):  # not a sentence for users
                logger.exception("the training beside the live view has failed")
        finally:
            atexit.unregister(self._end)

    def _wait(self) -> LivePairs | None:
        """Return the newest pairs, as soon as there are enough; None if stopped before."""
        load_torch().join()
        self.message = "training: waiting for frames"
        while not self._enough.is_set():
            pairs = self._pairs.newest(self._buffer.frames(), self._n_pairs)
            if pairs is not None:
                return pairs
            self._enough.wait(POLL)
        self.message = "no network: stopped before there were enough frames"
        return None

    def _train(self, pairs: LivePairs) -> None:
        self._begun = time.perf_counter()
        self._newest, self._drifts = pairs.newest, pairs.drifts
        # The view has another method until the network is better
        of_pairs: dict[str, Any] = {"use": self._pairs.use, "shift": pairs.shift}
        if pairs.affine is not None:
            of_pairs["affine"] = pairs.affine
        engine = replace(self._engine, **of_pairs, fallback=False)
        steps: Any = engine.training_steps(pairs.first, pairs.second)
        with contextlib.closing(steps):
            for step in steps:
                if self._enough.is_set():
                    break
                self.model = step.model or self.model
                self._compare(*WHILE_TRAINING)
                self._say(training=True)
        self._compare_at = 0.0  # the last network has not been compared yet

    def _compare(self, pause: float, share: float, clock: Callable[[], float]) -> None:
        """Compare the best network with the other engine, if it is time to."""
        begun = clock()
        if self.model is None or begun < self._compare_at:
            return
        fresh = [frame for frame in self._buffer.frames() if frame.number > self._newest]
        pairs = self._pairs.newest(fresh, 1, may_drift=self._drifts)
        if pairs is None or (self.model, pairs.newest) == self._compared:
            return
        self._compared = self.model, pairs.newest
        network = self.model.for_live()
        with warnings_to(ignore):  # the view gives them
            gains = self._gains_of(network, pairs)
        ended = clock()
        self._compare_at = ended + max(pause, share * (ended - begun))
        if gains is None:
            return
        self._gains = gains
        better = gains[0].low - gains[1].low
        if better > MARGIN or (self.winner is not None and better > -MARGIN):
            self.winner = self._pairs.of_frames(network)
            self._has_won = True
        else:
            self.winner = None

    def _gains_of(
        self, network: Engine, pairs: LivePairs
    ) -> tuple[GainInterval, GainInterval] | None:
        """Return the gains of the network and of the other engine; None if they are not known."""
        first, second = pairs.first[0], pairs.second[0]
        try:
            pair = FreshPair(first, second, pairs.shift, self._pairs.use)
            other = pair.gain(*_denoised(self._pairs.of_exposure.for_live(), first, second))
        except ValueError:  # frames that cannot be denoised
            return None
        try:
            one = pair.gain(*_denoised(network, first, second))
        except ValueError:  # frames that only the network cannot denoise
            one = GainInterval(-math.inf, -math.inf)
        # With a cut between the two frames, every method seems to make them worse
        return (one, other) if math.isfinite(other.low) and max(one.high, other.high) > 0 else None

    def _say(self, training: bool = False) -> None:
        """Set the message."""
        name = self._against.title
        if self._gains is None:
            seconds = time.perf_counter() - self._begun
            self.message = (
                f"training: {seconds:.0f} s"
                if training
                else "the network is trained, and waits for frames on which it can be compared"
            )
            return
        network, other = map(in_words, self._gains)
        if self.winner is not None:
            n = number_of_exposures(self._gains[0])
            self.message = (
                f"the network is now {network} better than the raw frame: the same picture as {n} "
                "exposures"
            )
        elif self._has_won and not training:
            self.message = f"the scene has changed: {name} again; train again"
        elif training:
            seconds = time.perf_counter() - self._begun
            self.message = f"training: {seconds:.0f} s, {network} so far, {name} {other}"
        else:
            self.message = f"the network is not the better one: {network}, {name} {other}"


def _denoised(engine: Engine, *frames: NDArray[Any]) -> Iterator[NDArray[np.float32]]:
    return (denoise_frame(engine, 0, (), (frame,)) for frame in frames)


def in_words(gain: GainInterval) -> str:
    """Return a gain in whole decibels.

    Examples
    --------
    >>> from napari_lowdose.noise2noise.evaluation.gain_interval import GainInterval
    >>> in_words(GainInterval(13.6, 15.2)), in_words(GainInterval(13.6, 14.4))
    ('14 to 15 dB', '14 dB')
    >>> in_words(GainInterval(13.6, math.inf)), in_words(GainInterval(-math.inf, math.inf))
    ('at least 13 dB', 'not known')
    """
    if math.isinf(gain.low) or math.isinf(gain.high):
        return str(gain)
    low, high = round(gain.low), round(gain.high)
    return f"{low} dB" if low == high else f"{low} to {high} dB"


def number_of_exposures(gain: GainInterval) -> str:
    """Return how many raw exposures have the same noise when they are averaged.

    Examples
    --------
    >>> from napari_lowdose.noise2noise.evaluation.gain_interval import GainInterval
    >>> number_of_exposures(GainInterval(14.2, 15.1)), number_of_exposures(GainInterval(4.5, 5))
    ('about 30', 'about 3')
    >>> number_of_exposures(GainInterval(17.0, math.inf))
    'at least 50'
    """
    errors = [10 ** (-limit / 10) for limit in (gain.low, gain.high)]
    n = 1 / errors[0] if math.isinf(gain.high) else 2 / sum(errors)
    rounded = round(n) if n < 10 else 5 * round(n / 5)
    return f"{'at least' if math.isinf(gain.high) else 'about'} {rounded}"
