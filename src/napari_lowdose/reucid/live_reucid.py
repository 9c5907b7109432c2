"""REUCID for the frames of a running source, which come one after the other."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_lowdose.engine import Engine, Step, run_to_end
from napari_lowdose.reucid.known_eigenpatches import KnownStep
from napari_lowdose.reucid.scene_change import SceneChange
from napari_lowdose.warned import ignore, warn, warnings_to

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_lowdose.reucid.known_eigenpatches import KnownEigenpatches
    from napari_lowdose.reucid.reucid import Reucid

REFRESH = 5.0  # seconds between decompositions of an unchanged scene, at least
MAX_LOAD = 0.05  # share of the time that they take, at most
MIN_RATIO = 1.25  # of patch sizes: a smaller change would only make the picture flicker


class LiveReucid(Engine):
    """REUCID with a single patch stack, for frames that follow each other.

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
            warn(
                "stacks of alike patches take too long for a running source: its frames are "
                "denoised with random stacks.",
                stacklevel=3,
            )
            engine = replace(engine, stacks="random")
        self.engine = engine
        self._known: KnownEigenpatches | None = None
        self._of_last: KnownEigenpatches | None = None  # the eigenpatches of the last frame
        self._scene_change = SceneChange()
        self._decomposition: threading.Thread | None = None
        self._decomposed = 0.0  # when, by time.perf_counter
        self._seconds = 0.0  # that it took

    def frame_steps(self, *frames: NDArray[Any]) -> Iterator[Step]:
        """Denoise the next frame; see `Engine.frame_steps`."""
        (frame,) = frames
        known = self._known
        if known is None or frame.shape != known.shape:
            begun = time.perf_counter()
            self._known = yield from self.engine.learn_steps(frame)
            self._note(begun)
            return
        for step in known.frame_steps(frame):
            if isinstance(step, KnownStep):
                self._watch(frame, known, step)
            yield step

    def about(self) -> dict[str, Any]:
        """Return name, parameters and versions of the engine."""
        return self.engine.about()

    def _watch(self, frame: NDArray[Any], known: KnownEigenpatches, step: KnownStep) -> None:
        """Decompose the frame in a thread, if it is time to; one at a time, the newest."""
        if known is not self._of_last:
            self._of_last = known
            self._scene_change.restart()
        changed = self._scene_change.is_seen(step)
        if self._decomposition is not None and self._decomposition.is_alive():
            return
        # While a scene keeps changing, the stream has at least half of the time for itself
        pause = self._seconds if changed else max(REFRESH, self._seconds / MAX_LOAD)
        if time.perf_counter() - self._decomposed > pause:
            self._decomposition = threading.Thread(
                target=self._decompose, args=(frame, known, changed), name="REUCID"
            )
            self._decomposition.start()

    def _decompose(self, frame: NDArray[Any], known: KnownEigenpatches, changed: bool) -> None:
        begun = time.perf_counter()
        try:
            self._known = self._learn(frame, known.size)
            self._note(begun)
            if changed:
                size = run_to_end(self.engine.find_patch_size([frame]))
                if not 1 / MIN_RATIO < size[0] / known.size[0] < MIN_RATIO:
                    self._known = self._learn(frame, size)
        except ValueError:  # the frame cannot be denoised, which its own result says
            pass
        self._decomposed = time.perf_counter()

    def _learn(self, frame: NDArray[Any], size: tuple[int, bool]) -> KnownEigenpatches:
        with warnings_to(ignore):  # those of the first frame have been given
            return self.engine.learn(frame, size)

    def _note(self, begun: float) -> None:
        self._decomposed = time.perf_counter()
        self._seconds = self._decomposed - begun
