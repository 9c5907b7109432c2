"""A source that looks for new frames on a disk again and again, in a thread of its own."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from napari_lowdose.error_line import one_line
from napari_lowdose.parameters import one_of, positive
from napari_lowdose.warned import warn

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from napari_lowdose.live.feed import Feed

Existing = Literal["denoise", "newest", "skip"]
POLL = 0.5  # seconds, by default
PATIENCE = 60.0  # seconds, by default
_SHARE = 0.25  # of the time that is spent on looking at most; a network drive may be slow


class Notice(NamedTuple):
    """What a source has to say beside its frames.

    Attributes
    ----------
    text : str
        One sentence.
    given_up : bool
        True if it is about a file or frame that was given up because it cannot be read.
    """

    text: str
    given_up: bool = False


class PolledSource:
    """Frames that other programs write to a disk; base of `FolderSource` and `StackSource`.

    A library that watches file systems would hang on network drives, or see nothing there.

    Parameters
    ----------
    path : path
        May be missing at first, and for a while: it is waited for.
    existing : "denoise", "newest" or "skip"
        What is there at the start: all frames come first, or the newest one only, or none.
    poll : float
        Time between two looks, seconds.
    silence : float, optional
        Time without anything new after which the source ends, seconds; by default never.
    patience : float
        Time without a change after which what cannot be read is given up, seconds.
    done : mapping, optional
        Names of frames that are left out because they are done, and when they were read
        (`time.time`).
    tell : callable, optional
        Called with each `Notice` in the thread of the source; by default it becomes a warning.

    Attributes
    ----------
    pixel_size : (float, float) or None
        Height and width of a pixel of the newest frame, in `unit`; known once there is one.
    unit : str or None

    Raises
    ------
    ValueError
        If a parameter has an impossible value.
    """

    pixel_size: tuple[float, float] | None = None
    unit: str | None = None

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        existing: Existing = "denoise",
        poll: float = POLL,
        silence: float | None = None,
        patience: float = PATIENCE,
        done: Mapping[str, float] | None = None,
        tell: Callable[[Notice], object] | None = None,
    ) -> None:
        self.path = Path(path)
        self._existing = one_of("existing", existing, ("denoise", "newest", "skip"))
        self._poll = positive("poll", poll)
        self._silence = None if silence is None else positive("silence", silence)
        self._patience = positive("patience", patience)
        self._done = done or {}
        self._on_notice = tell or (lambda notice: warn(notice.text))
        self._is_first_look = True
        self._took = 0.0  # seconds of the last look, without those of reading frames
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="live folder", daemon=True)

    def start(self, feed: Feed) -> None:
        """Begin to look; see `Source.start`.  A source can be started once."""
        self._feed = feed
        self._thread.start()

    def stop(self) -> None:
        """Put no more frames; see `Source.stop`."""
        self._stopped.set()
        self._feed.close()
        if self._thread is not threading.current_thread():
            self._thread.join(1.0)  # a drive that does not answer may hold it longer

    @property
    def _is_stopped(self) -> bool:
        return self._stopped.is_set() or self._feed.closed

    def _look(self) -> bool:
        """Put what is new; return whether anything has changed since the last look.

        Raises
        ------
        OSError
            If `path` is not there, or cannot be read now.
        """
        raise NotImplementedError

    def _give_up(self) -> None:
        """Tell what was never read, as the source ends."""
        raise NotImplementedError

    def _tell(self, text: str, *, given_up: bool = False) -> None:
        self._on_notice(Notice(text, given_up))

    def _put(self, pixels: NDArray[Any], name: str) -> None:
        self._feed.put(pixels, name, self.pixel_size, self.unit)

    def _watch(self) -> None:
        try:
            self._look_until_silence()
        except Exception as error:  # told to the reader
            self._feed.end(error)
        else:
            self._feed.end()

    def _look_until_silence(self) -> None:
        missing = False
        alive = time.monotonic()  # when something was new
        while not self._is_stopped:
            try:
                changed = self._look()
            except OSError as error:
                changed = False
                if not missing:
                    self._tell(f"{self.path} cannot be read ({reason(error)}): waiting for it.")
                missing = True
            else:
                if missing:
                    self._tell(f"{self.path} can be read: going on.")
                changed, missing = changed or missing, False
            self._is_first_look = False
            now = time.monotonic()
            if changed:
                alive = now
            elif self._silence is not None and now - alive > self._silence:
                self._give_up()
                return
            self._stopped.wait(max(self._poll, self._took / _SHARE))


def name_of_frame(file: str, number: int) -> str:
    """Return the name of a frame of a file with several.

    Examples
    --------
    >>> name_of_frame("scan.tif", 0)
    'scan.tif frame 1'
    """
    return f"{file} frame {number + 1}"


def reason(error: Exception) -> str:
    """Return why a file cannot be read, on one line and without its name."""
    strerror = error.strerror if isinstance(error, OSError) else None
    return strerror or one_line(error)
