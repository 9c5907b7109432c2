"""Frames of a microscope that Micro-Manager controls, through pymmcore-plus.

The acquisition never waits: it hands its frames over in its own thread, and those of the live view
are read beside it.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from napari_lowdose.threads import core_left_free

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from napari_lowdose.live.feed import Feed

_IDLE = 0.5  # seconds between two looks whether the camera is still there
_SHORTEST, _LONGEST = 0.002, 0.05  # seconds between two looks for new frames
_LOOK_BACK = 64  # frames to read at once at most, if they are faster than the looks for them
# Seconds that another thread of Python may hold up the acquisition: 5 ms by default
_SWITCH_INTERVAL = 0.0005
_PATIENCE = 2.0  # seconds after which a live view that stands still has failed


class CameraSource:
    """Frames of a camera: its live view, single images, and multi-dimensional acquisitions.

    After an acquisition it waits for the next one, until `stop`; it can be started once.  The
    frames of all cameras, channels, planes and positions are put in the order in which they are
    taken.

    Parameters
    ----------
    core : CMMCorePlus, optional
        By default ``CMMCorePlus.instance()``, which napari-micromanager uses as well.

    Attributes
    ----------
    pixel_size, unit
        See `Source`.

    Raises
    ------
    ImportError
        If pymmcore-plus is not installed.
    """

    pixel_size: tuple[float, float] | None = None
    unit: str | None = None

    def __init__(self, core: Any = None) -> None:
        self._core = _instance() if core is None else core
        self._thread = threading.Thread(target=self._watch, name="live camera", daemon=True)
        self._connected: list[tuple[Any, Callable[..., None]]] = []
        self._gives_way = ExitStack()  # to the acquisition, until `stop`
        self._begun = threading.Event()  # a sequence of images, as the live view is
        self._stopped = threading.Event()
        self._endless = False  # whether the sequence goes on until somebody stops it
        self._last: object = None  # image of a sequence that was put last
        self._begun_at: dict[str, int] = {}  # place of the last event of an acquisition
        self._put_at: dict[str, int] = {}  # and of its last frame

    def start(self, feed: Feed) -> None:
        """Begin to put frames; see `Source.start`.  An acquisition may be running already.

        Raises
        ------
        ValueError
            If no camera is loaded, or it is a colour camera.
        """
        core = self._core
        if not core.getCameraDevice():
            raise ValueError("No camera is loaded in Micro-Manager: load its configuration first.")
        if core.getNumberOfComponents() > 1:
            raise _colour_error()
        self._feed, feed.newest = feed, True
        self._calibrate()
        if core.isSequenceRunning() and core.getRemainingImageCount():
            self._last = _identity(core.getLastImageAndMD()[1])  # only those that follow
        self._gives_way.enter_context(core_left_free())
        self._gives_way.callback(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(_SWITCH_INTERVAL)
        self._connect(core.events.continuousSequenceAcquisitionStarted, self._live_view_begun)
        self._connect(core.events.sequenceAcquisitionStarted, self._sequence_begun)
        self._connect(core.events.sequenceAcquisitionStopped, self._sequence_ended)
        self._connect(core.events.imageSnapped, self._snapped)
        self._connect(core.events.pixelSizeChanged, self._calibrate)
        self._connect(core.mda.events.sequenceStarted, self._calibrate)
        self._connect(core.mda.events.eventStarted, self._event_started)
        self._connect(core.mda.events.frameReady, self._frame_ready)
        self._connect(core.mda.events.sequenceFinished, self._acquisition_ended)
        self._thread.start()

    def stop(self) -> None:
        """Put no more frames; the acquisition itself goes on.  See `Source.stop`."""
        self._stopped.set()
        self._begun.set()  # wakes the thread
        self._gives_way.close()
        while self._connected:
            signal, slot = self._connected.pop()
            with suppress(RuntimeError, TypeError):  # Qt has deleted it
                signal.disconnect(slot)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(1.0)

    def _connect(self, signal: Any, slot: Callable[..., None]) -> None:
        """Let a signal call a slot in the thread that emits it."""
        # In an application with Qt the signals are Qt's, which would queue the frames for the GUI
        qt = getattr(sys.modules[type(signal).__module__], "Qt", None)
        signal.connect(slot, *([qt.ConnectionType.DirectConnection] if qt is not None else []))
        self._connected.append((signal, slot))

    # ----------------------------------- called by the acquisition, which an error would disturb

    def _event_started(self, event: Any, *_: Any) -> None:
        self._begun_at = dict(getattr(event, "events", [event])[-1].index)

    def _frame_ready(self, pixels: NDArray[Any], event: Any = None, *_: Any) -> None:
        self._put_at = dict(getattr(event, "index", {}))
        self._put(pixels, ", ".join(f"{axis}={k}" for axis, k in self._put_at.items()))

    def _acquisition_ended(self, *_: Any) -> None:
        reason = self._core.mda.status.finish_reason
        if reason == "errored":
            self._end("The acquisition has failed: see the log of pymmcore-plus.")
        # A camera that fails is no error for pymmcore-plus, which warns and goes on
        elif reason == "completed" and not self._begun_at.items() <= self._put_at.items():
            self._end(
                "The camera has given no image in the end of the acquisition: see the log of "
                "pymmcore-plus."
            )

    def _snapped(self, *_: Any) -> None:
        if self._core.mda.is_running():  # it hands over its frames itself
            return
        try:
            for channel in range(self._core.getNumberOfCameraChannels()):
                self._put(self._core.getImage(channel))
        except Exception as error:
            self._end(f"The image of the camera cannot be read ({error}).")

    def _live_view_begun(self, *_: Any) -> None:
        self._endless = True
        self._sequence_begun()

    def _sequence_begun(self, *_: Any) -> None:
        self._calibrate()
        self._begun.set()

    def _sequence_ended(self, *_: Any) -> None:
        self._endless = False

    def _calibrate(self, *_: Any) -> None:
        with suppress(RuntimeError):  # devices are being loaded
            size = float(self._core.getPixelSizeUm())
            self.pixel_size, self.unit = ((size, size), "µm") if size > 0 else (None, None)

    def _put(self, pixels: NDArray[Any], name: str = "") -> None:
        if pixels.ndim != 2:
            self._feed.end(_colour_error())
            return
        # A view may be of a buffer that is filled again
        self._feed.put(pixels if pixels.flags.owndata else pixels.copy(), name)

    def _end(self, sentence: str) -> None:
        self._feed.end(RuntimeError(sentence))

    # -------------------------------------------------------------------- in a thread of its own

    def _watch(self) -> None:
        """Wait for sequences of images, and put their frames."""
        try:
            while not self._stopped.is_set():
                if self._begun.wait(_IDLE) or self._core.isSequenceRunning():
                    self._begun.clear()
                    self._follow()
                self._check_camera()
        except Exception as error:
            self._end(f"The camera cannot be read any more ({error}).")

    def _follow(self) -> None:
        """Put the frames of a sequence until it ends."""
        core, stands_still_since = self._core, None
        while not self._stopped.is_set() and not core.mda.is_running():
            self._check_camera()
            running = core.isSequenceRunning()  # before the last frames are read
            for pixels in self._new_frames():
                self._put(pixels)
            if running:
                stands_still_since = None
            elif not self._endless:
                return
            elif stands_still_since is None:
                stands_still_since = time.monotonic()
            elif time.monotonic() - stands_still_since > _PATIENCE:
                raise RuntimeError("its live view has ended by itself")
            pause = core.getExposure() / 1000 / 2
            self._stopped.wait(min(max(pause, _SHORTEST), _LONGEST))

    def _new_frames(self) -> list[NDArray[Any]]:
        """Read the images that are new in the circular buffer, and leave them there."""
        found: dict[object, NDArray[Any]] = {}
        for back in range(_LOOK_BACK):
            try:
                pixels, metadata = self._core.getNBeforeLastImageAndMD(back)
            except (IndexError, RuntimeError, SystemError):  # there are not so many
                break
            image = _identity(metadata)
            if image == self._last:
                break
            found.setdefault(image, pixels)  # a newer image has moved it one place back
        if found:
            self._last = next(iter(found))
        return list(found.values())[::-1]

    def _check_camera(self) -> None:
        if not self._core.getCameraDevice():
            raise RuntimeError("it was unloaded from Micro-Manager")


def _identity(metadata: Mapping[str, str]) -> tuple[str | None, ...]:
    return tuple(metadata.get(tag) for tag in ("Camera", "ImageNumber", "ElapsedTime-ms"))


def _instance() -> Any:
    try:
        from pymmcore_plus import CMMCorePlus
    except ImportError as error:
        raise ImportError(
            'pymmcore-plus, which reads cameras, is missing: pip install "napari-lowdose[live]".'
        ) from error
    return CMMCorePlus.instance()


def _colour_error() -> ValueError:
    return ValueError(
        "This is a colour (RGB) camera: set its pixel type to grey, for example 16bit, first."
    )
