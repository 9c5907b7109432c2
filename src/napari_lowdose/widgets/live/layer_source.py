# mypy: allow-untyped-calls
"""Frames of an image layer that something else updates."""

from __future__ import annotations

import bisect
import math
import time
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer

from napari_lowdose.widgets.layers import frame_in_view, layer_pixel_size, validation_error

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image
    from numpy.typing import NDArray

    from napari_lowdose.live.feed import Feed

POLL = 0.02  # seconds between two looks, at least
MAX_SHARE = 0.1  # share of the time that looking takes, at most
MAX_SAMPLE = 2**16  # pixels of a frame that are compared


class LayerSource(QObject):
    """The frames of an image layer, as something else changes them.

    A new array (``layer.data = new``) is seen at once.  Writing into the array, with
    ``layer.refresh()`` or without, is seen by a checksum.  Of a stack of frames, the frame in view
    is used; of one that grows, or whose last frames are blank because they are not acquired yet,
    the newest frame.  Scrolling, contrast and visibility change nothing.

    The pixels are copied in the thread of the user interface, in which others write them.

    Parameters
    ----------
    viewer : Viewer
    layer : Image
    parent : QObject
        A widget; the source ends with it, or with `deleteLater`.

    Attributes
    ----------
    layer : Image
    pixel_size, unit
        See `Source`.

    Raises
    ------
    ValueError
        If the layer has no single gray frames.
    """

    def __init__(self, viewer: napari.viewer.Viewer, layer: Image, parent: QObject) -> None:
        if problem := validation_error(layer):
            raise ValueError(problem)
        super().__init__(parent)
        self.layer = layer
        self.pixel_size, self.unit = layer_pixel_size(layer)
        self._viewer, self._name = viewer, layer.name
        self._feed: Feed | None = None
        self._data = self._pixels()
        self._leading = tuple(self._data.shape[:-2])
        self._axis: int | None = None  # of a stack along which frames arrive
        self._newest = 0  # index along it
        self._find_blank_end()
        self._index = self._where()
        self._first = np.array(self._data[self._index])
        self._checksum = _checksum(self._first)
        self._next_look = 0.0
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._poll)
        self._timer.start(round(1000 * POLL))
        events = (
            (layer.events.data, self._replaced),
            (layer.events.set_data, self._poll),
            (viewer.layers.events.removed, self._removed),
        )
        for event, callback in events:
            event.connect(callback)

        def disconnect() -> None:
            for event, callback in events:
                event.disconnect(callback)

        self.destroyed.connect(disconnect)

    def start(self, feed: Feed) -> None:
        """Put the present frame, and each new one from now on; see `Source.start`."""
        if self._axis is None or not _is_blank(self._first):
            feed.put(self._first)
        self._feed = feed

    def stop(self) -> None:
        """Put no more frames; see `Source.stop`."""
        self._feed = None

    # ------------------------------------------------------------------ events

    def _replaced(self, event: Any = None) -> None:
        """Put the frame of a new array, even if the sample of its pixels is the same."""
        new = self._pixels()
        replaced, self._data = new is not self._data, new
        self._look(replaced)

    def _poll(self, event: Any = None) -> None:
        # A new array refreshes the layer before it says that it is new: wait for `_replaced`.
        if time.perf_counter() >= self._next_look and self._pixels() is self._data:
            self._look()

    def _removed(self, event: Any) -> None:
        if event.value is self.layer and self._feed is not None:
            self._feed.end(ValueError(f"The layer '{self._name}' was removed."))

    def _look(self, replaced: bool = False) -> None:
        """Put the frame if it has changed."""
        if self._feed is None:
            return
        begun = time.perf_counter()
        before, self._index = self._index, self._where()
        frame = np.asarray(self._data[self._index])
        known, self._checksum = self._checksum, _checksum(frame)
        # A frame that comes into view because somebody scrolls is not new.
        scrolled = _without(self._index, self._axis) != _without(before, self._axis)
        if replaced or (self._checksum != known and not scrolled):
            self.pixel_size, self.unit = layer_pixel_size(self.layer)  # another objective
            self._feed.put(np.array(frame))
        now = time.perf_counter()
        self._next_look = now + max(POLL / 2, (now - begun) / MAX_SHARE)

    # ------------------------------------------------------------- the frame

    def _pixels(self) -> Any:
        """Return the full-resolution data themselves: dask may keep old pixels of a zarr array."""
        return self.layer.data[0] if self.layer.multiscale else self.layer.data

    def _in_view(self) -> tuple[int, ...]:
        return frame_in_view(self._viewer.dims, self.layer) if self._leading else ()

    def _where(self) -> tuple[int, ...]:
        """Return the index of the newest frame if frames arrive, otherwise of that in view."""
        before, self._leading = self._leading, tuple(self._data.shape[:-2])
        if self._leading != before:
            longer = [n > m for n, m in zip(self._leading, before, strict=False)]
            appended = len(self._leading) == len(before) and any(longer)
            axis = longer.index(True) if appended else None
            if axis != self._axis:
                self._axis, self._newest = axis, 0 if axis is None else before[axis] - 1
        index = self._in_view()
        if self._axis is None:
            return index
        self._newest = self._last_filled(index)
        return _at(index, self._axis, self._newest)

    def _find_blank_end(self) -> None:
        """Follow the first axis whose last frame is blank: frames are acquired along it."""
        index = self._in_view()
        for axis, n in enumerate(self._leading):
            if n > 1 and self._is_blank(_at(index, axis, n - 1)):
                self._axis = axis
                return

    def _last_filled(self, index: tuple[int, ...]) -> int:
        """Return the last position along the axis before frames that are all blank."""
        assert self._axis is not None
        axis = self._axis
        after = range(self._newest + 1, self._leading[axis])

        def blank(n: int) -> bool:
            return self._is_blank(_at(index, axis, n))

        if not after or (blank(after[0]) and blank(after[-1])):
            return self._newest
        if not blank(after[-1]):
            return after[-1]
        return self._newest + bisect.bisect_left(after, True, key=blank)

    def _is_blank(self, index: tuple[int, ...]) -> bool:
        return _is_blank(np.asarray(self._data[index]))


def _at(index: tuple[int, ...], axis: int, n: int) -> tuple[int, ...]:
    return (*index[:axis], n, *index[axis + 1 :])


def _without(index: tuple[int, ...], axis: int | None) -> tuple[int, ...]:
    return index if axis is None else _at(index, axis, 0)


def _is_blank(frame: NDArray[Any]) -> bool:
    """Whether a frame is constant or NaN, as those are that are not acquired yet."""
    sample = _sample(frame)
    return bool(sample.min() == sample.max() or np.isnan(sample).all())


def _sample(frame: NDArray[Any]) -> NDArray[Any]:
    step = math.ceil(math.sqrt(frame.size / MAX_SAMPLE)) or 1
    return frame[::step, ::step]


def _checksum(frame: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(_sample(frame)).data)
