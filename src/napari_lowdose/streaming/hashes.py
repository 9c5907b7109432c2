"""Hashes that identify a result: of each frame, and of input, engine and parameters."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_lowdose.io.line_file import LineFile, whole_lines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_lowdose.engine import Engine
    from napari_lowdose.frames import ImageOrPair


class FrameHash(NamedTuple):
    """Hashes of the input and the result of a written frame."""

    made_from: str
    result: str


class FrameHashes:
    """Text file with the hashes of the written frames, one line per frame.

    A line is added after its frame is written.  An incomplete last line, left by a killed
    process, is ignored.

    Parameters
    ----------
    path : Path
        Path of the file, which is created if missing.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "hashes.txt")
    >>> FrameHashes(path).add(11, FrameHash("0a", "1b"))
    >>> FrameHashes(path).frames
    {11: FrameHash(made_from='0a', result='1b')}
    """

    def __init__(self, path: Path) -> None:
        self._file = LineFile(path)
        # A damaged line only costs denoising its frame again.
        lines = [line.split() for line in whole_lines(path)]
        self.frames = {
            int(line[0]): FrameHash(*line[1:])
            for line in lines
            if len(line) == 3 and line[0].isdecimal()
        }

    def add(self, number: int, frame: FrameHash) -> None:
        """Record that frame `number` is written."""
        self._file.add(f"{number} {frame.made_from} {frame.result}")
        self.frames[number] = frame


def hash_frame(frame: NDArray[Any]) -> str:
    """Return the hash of the pixels of a frame."""
    return hashlib.blake2b(np.ascontiguousarray(frame).data, digest_size=16).hexdigest()


def combine_hashes(hashes: Sequence[str]) -> str:
    """Return a combined hash of the frames of a pair or a movie."""
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.blake2b("".join(hashes).encode(), digest_size=16).hexdigest()


def hash_frames(frames: Sequence[NDArray[Any]]) -> str:
    """Return the hash of a frame or of the two frames of a pair."""
    return combine_hashes([hash_frame(frame) for frame in frames])


# Fields that do not identify a result: state and record of training, preview, and device, so
# that a run on a GPU can be resumed on a CPU.
_IRRELEVANT_FIELDS = ("state", "record", "device", "preview")


def engine_identity(engine: Engine) -> str:
    """Return a short identifier of an engine and its parameters."""
    return _short_hash([type(engine).__name__, _plain(engine)])


def identity(engine: Engine, image: ImageOrPair, pixels: str) -> str:
    """Return a short identifier of engine, parameters and input.

    Parameters
    ----------
    engine : Engine
    image : ImageOrPair
    pixels : str
        Hash of the pixels to compare.
    """
    return _short_hash([type(engine).__name__, _plain(engine), image.about(), pixels])


def _short_hash(about: Any) -> str:
    # JSON, because the hash of a Python object differs between processes.
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """Return a JSON-ready representation of parameters; arrays are hashed."""
    if isinstance(value, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (f for f in dataclasses.fields(value) if f.compare)
        names = [f.name for f in fields if f.name not in _IRRELEVANT_FIELDS]
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (str, int, float)) else str(value)
