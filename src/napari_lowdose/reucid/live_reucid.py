"""REUCID for the frames of a running source, which come one after the other."""

from __future__ import annotations

import threading
import time
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_lowdose.blas import one_blas_thread
from napari_lowdose.engine import Engine, Step, run_to_end
from napari_lowdose.reucid.stack_step import StackStep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_lowdose.reucid.known_eigenpatches import KnownEigenpatches
    from napari_lowdose.reucid.reucid import Reucid

REFRESH = 5.0  # seconds between decompositions of an unchanged scene, at least
MAX_LOAD = 0.05  # share of the time that they take, at most
# Change of the share of a frame that its eigenpatches explain: relative, and in units of the mean
# change from frame to frame, which the noise causes.  Noise of an unchanged scene stays below both.
MIN_CHANGE, MIN_CHANGES = 0.03, 5.0
MEMORY = 0.1  # weight of the newest frame in that mean
MIN_RATIO = 1.25  # of patch sizes: a smaller change would only make the picture flicker


class LiveReucid(Engine):
    """REUCID with a single patch stack, for frames of one shape that follow each other.

    The first frame is decomposed; the others are convolved with the kernel of its eigenpatches.
    When the scene changes, and every few seconds, the newest frame is decomposed in a thread
    beside the stream, and the new eigenpatches are used from the next frame on.  The patch size
    is found again only when the scene changes.

    Parameters
    ----------
    engine : Reucid

    Warns
    -----
    UserWarning
        Of the first frame only, as `Reucid`; and that stacks of alike patches take too long.

    Raises
    ------
    ValueError
        If `keep` has indices for several stacks.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_lowdose import Reucid
    >>> from napari_lowdose.run import denoise_frame
    >>> rng, fringes = np.random.default_rng(0), 9 + 6 * np.cos(np.arange(64) / 2)
    >>> engine = Reucid().for_live()
    >>> for _ in range(3):
    ...     image = denoise_frame(engine, 0, (), (rng.poisson(fringes, (64, 64)),))
    """

    title = "REUCID"
    takes = "image"

    def __init__(self, engine: Reucid) -> None:
        if engine.stacks == "alike":
            warnings.warn(
                "stacks of alike patches take too long for a running source: its frames are "
                "denoised with random stacks.",
                UserWarning,
                stacklevel=3,
            )
            engine = replace(engine, stacks="random")
        if isinstance(engine.keep, tuple) and isinstance(engine.keep[0], tuple) and engine.keep[1:]:
            raise ValueError(
                "keep has indices of eigenpatches for several stacks, and a running source has "
                "one: give the indices of one stack, or a number."
            )
        self.engine = replace(engine, n_stacks=1)
        self._known: KnownEigenpatches | None = None
        self._compared: KnownEigenpatches | None = None  # the eigenpatches of `_share`
        self._share = self._last_share = 0.0  # of their first frame, and of the newest
        self._mean_change = 0.0
        self._decomposition: threading.Thread | None = None
        self._decomposed = 0.0  # when, by time.perf_counter
        self._seconds = 0.0  # that it took

    def frame_steps(self, *frames: NDArray[Any]) -> Iterator[Step]:
        """Denoise the next frame; see `Engine.frame_steps`."""
        (frame,) = frames
        known = self._known
        if known is None:
            yield from self._first(frame)
            return
        image, share = known.denoise(frame)
        changed = self._has_changed(known, share)
        if self._may_decompose(changed):
            self._decomposition = threading.Thread(
                target=self._decompose, args=(frame, known, changed), name="REUCID", daemon=True
            )
            self._decomposition.start()
        yield Step(fraction=1.0, message="known eigenpatches", image=image)

    def about(self) -> dict[str, Any]:
        """Return name, parameters and versions of the engine."""
        return self.engine.about()

    def _first(self, frame: NDArray[Any]) -> Iterator[Step]:
        begun = time.perf_counter()
        for step in self.engine.frame_steps(frame):
            if isinstance(step, StackStep):
                self._known = self.engine.known(step)
                self._decomposed = time.perf_counter()
                self._seconds = self._decomposed - begun
            yield step

    def _has_changed(self, known: KnownEigenpatches, share: float) -> bool:
        """Return whether the eigenpatches explain more, or less, of the frame than before."""
        if self._compared is not known:  # the share of other eigenpatches says nothing
            self._compared, self._share, self._last_share = known, share, share
            return False
        least = max(MIN_CHANGE * self._share, MIN_CHANGES * self._mean_change)
        changed = abs(share - self._share) > least
        self._mean_change += MEMORY * (abs(share - self._last_share) - self._mean_change)
        self._last_share = share
        return changed

    def _may_decompose(self, changed: bool) -> bool:
        """Return whether to decompose beside the stream: one frame at a time, and not too often."""
        if self._decomposition is not None and self._decomposition.is_alive():
            return False
        # While a scene keeps changing, the stream has at least half of the time for itself
        pause = self._seconds if changed else max(REFRESH, self._seconds / MAX_LOAD)
        return time.perf_counter() - self._decomposed > pause

    def _decompose(self, frame: NDArray[Any], known: KnownEigenpatches, changed: bool) -> None:
        begun = time.perf_counter()
        size = known.patch_size, known.wide
        try:
            with one_blas_thread():
                self._known = self.engine.learn(frame, size)
                self._seconds = time.perf_counter() - begun
                if changed:
                    found = run_to_end(self.engine.find_patch_size([frame]))
                    if not 1 / MIN_RATIO < found[0] / size[0] < MIN_RATIO:
                        self._known = self.engine.learn(frame, found)
        except ValueError:  # the frame cannot be denoised, which its own result says
            pass
        self._decomposed = time.perf_counter()
