"""Check a pair before training: problems that would waste the training or mislead the user."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_lowdose.frames import evenly_spaced
from napari_lowdose.imaging.image_checks import check_image, check_same_shape, warn_of_pixels
from napari_lowdose.io.arrays import as_image
from napari_lowdose.noise2noise.gain_matching import same_scene
from napari_lowdose.noise2noise.noise_checks import PairNote, check_noise
from napari_lowdose.noise2noise.usable_pairs import FrameChoice, check_exposure, frame_list
from napari_lowdose.noise2noise.valid_pixels import (
    SMALLEST,
    ValidPixels,
    standardise,
    valid_pixels,
)
from napari_lowdose.pairs.agreement import Agreement, agreement, align
from napari_lowdose.pairs.register import map_between
from napari_lowdose.pairs.scan_drift import scan_drift
from napari_lowdose.pairs.view_map import ViewMap
from napari_lowdose.warned import warn, warnings_to

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_lowdose.pairs.scene_shift import NotRegisteredError
    from napari_lowdose.pairs.view_map import Matrix

    Frame = NDArray[np.float32]

__all__ = ["PairNote", "check_pair", "refuse_bad_pair"]

_MAX_FRAMES = 9  # of a movie, evenly spread
_WINDOW = 1024  # side of the central part of a large frame that is checked, pixels
_SMALL = 64  # below this side, in pixels, different scenes and a lack of light look the same
_OF_NOISE = ("dependent", "noise", "smooth", "correlated noise", "common noise")


def check_pair(
    first: Any,
    second: Any,
    shift: tuple[float, float] = (0.0, 0.0),
    affine: Matrix | None = None,
) -> list[PairNote]:
    """Check whether a pair of exposures is suitable for training.

    Parameters
    ----------
    first, second : (..., Y, X) arrays
        The two exposures, NumPy or dask.  Of a movie, up to nine evenly spread frames are read,
        or more if none of these is usable.
    shift : (float, float)
        Known shift of the second exposure against the first, (dy, dx) in pixels: the scene at
        (y, x) in the first is at (y + dy, x + dx) in the second.
    affine : 2 x 3 matrix, optional
        Known map from the first exposure to the second, in place of `shift`; see `Noise2Noise`.

    Returns
    -------
    list of PairNote
        In the order of harm; empty for a good pair.  Only one note if the shape or the pixels of
        the exposures are not usable.

    Notes
    -----
    The checks look for:

    - Same data: the second exposure is the first times a gain plus an offset, to a millionth of
      its variance.
    - Unusable frames of a movie: black, constant, repeated, or the same in both exposures.
    - Shift: as found by `register_pair`, if it is larger than its error explains.
    - Drift within a scan, rotation and magnification: the shift differs between parts of the frame
      as an affine map does.
    - Movement: the shift differs between the quarters of the frame.  Or the difference of the
      aligned exposures is correlated over 8 pixels and more, or follows the slopes of the scene.
    - Orientation and contrast: the second exposure is mirrored or rotated, or its contrast is
      reversed.
    - Dependent noise: one exposure holds the noise of the other and none of its own, like the mean
      of both.
    - Common noise: the covariance of the two exposures at lag 0 exceeds the value extrapolated
      from lags of 1, 2 and 3 pixels.  The cause is a pattern of the sensor, or a common exposure.
      Scene detail of a single pixel looks the same.
    - Displaced lines: the difference follows the slope of the scene along the lines of a scan, each
      line by another amount.
    - Correlated noise: the autocorrelation of the difference at a lag of one pixel.

    References
    ----------
    Pair paper (Yang et al. 2023), Eq. (3): both exposures show the same scene, with independent and
    identically distributed noise.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> scene = 20 + 10 * np.sin(np.arange(128) / 4) * np.cos(np.arange(128)[:, None] / 5)
    >>> check_pair(rng.poisson(scene), rng.poisson(scene))
    []
    >>> first = rng.poisson(scene)
    >>> print(check_pair(first, 2 * first)[0].message)
    The two exposures hold the same data: choose two independent exposures, or the network ...
    """
    try:
        first = as_image(first, "the first exposure")
        second = as_image(second, "the second exposure")
    except ValueError as error:
        return [PairNote("refuse", _sentence(error), "unusable")]
    try:
        check_same_shape(first, second)
    except ValueError as error:
        return [PairNote("refuse", _sentence(error), "shape")]
    for name, exposure in (("first", first), ("second", second)):
        try:
            check_image(exposure)
        except ValueError as error:
            return [PairNote("refuse", f"In the {name} exposure: {error}", "unusable")]
    leading = first.shape[:-2]
    n = math.prod(leading)
    spread = evenly_spaced(n, _MAX_FRAMES)
    choice = FrameChoice(leading)
    found: dict[str, list[tuple[int, PairNote]]] = {}
    checked: list[int] = []
    # The other frames follow, in case that none of the evenly spread ones is usable
    for turn, k in enumerate([*spread, *sorted(set(range(n)) - set(spread))]):
        if turn >= len(spread) and checked:
            break
        at = np.unravel_index(k, leading)
        frames = (np.asarray(first[at]), np.asarray(second[at]))
        try:
            for name, frame in zip(("first", "second"), frames, strict=True):
                check_exposure(name, frame, k, leading)
        except ValueError as error:
            return [PairNote("refuse", _sentence(error), "unusable")]
        valid = valid_pixels(*frames)
        if not choice.is_usable(k, valid):
            continue
        checked.append(k)
        for note in _check_frames(valid, shift, affine):
            found.setdefault(note.kind, []).append((k, note))
    if not checked:
        return [_no_usable_frame(choice, n)]
    notes = [_most_severe(each, checked, leading) for each in found.values()]
    if choice:
        notes.append(PairNote("note", f"Excluded from training: {choice}.", "frames"))
    return sorted(notes, key=_severity)


def refuse_bad_pair(
    first: Any,
    second: Any,
    shift: tuple[float, float] = (0.0, 0.0),
    affine: Matrix | None = None,
) -> str:
    """Check a pair with `check_pair`; raise an error or warn.

    Parameters
    ----------
    first, second : (..., Y, X) arrays
        The two exposures.
    shift : (float, float)
        Known shift of the second exposure against the first, (dy, dx) in pixels.
    affine : 2 x 3 matrix, optional
        As in `check_pair`.

    Returns
    -------
    str
        Why a gain that is estimated from this pair cannot be trusted; empty if it can.

    Raises
    ------
    ValueError
        If the pair is not suitable for training.

    Warns
    -----
    UserWarning
        If the result may be misleading.  Notes are not reported.
    """
    notes = check_pair(first, second, shift, affine)
    for note in notes:
        if note.level == "refuse":
            raise ValueError(note.message)
        if note.level == "warn":
            warn(note.message, stacklevel=2)
    return ", and ".join(note.doubt for note in notes if note.doubt)


def _severity(note: PairNote) -> tuple[int, bool]:
    """Return a key that sorts the most harmful note first."""
    return note.harm, note.level == "note"


def _sentence(error: Exception) -> str:
    """Return the message of an error with a capital letter."""
    message = str(error)
    return message[0].upper() + message[1:]


def _no_usable_frame(choice: FrameChoice, n: int) -> PairNote:
    """Refuse a pair, or a movie of pairs, without any usable frame."""
    if set(choice.left_out) == {"same"}:
        exposures = "The two exposures" if n == 1 else "In every frame the two exposures"
        return PairNote(
            "refuse",
            f"{exposures} hold the same data: choose two independent exposures, or the network "
            "will learn to return its input.",
            "same",
        )
    return PairNote("refuse", f"There is no pair to train on: {choice}.", "unusable")


def _most_severe(
    found: list[tuple[int, PairNote]], checked: list[int], leading: tuple[int, ...]
) -> PairNote:
    """Return the most severe note of one kind, with the names of the frames that have it."""
    _, note = min(found, key=lambda each: _severity(each[1]))
    frames = sorted({k for k, _ in found})
    if len(frames) == len(checked):
        return note
    if note.kind == "different" and len(frames) <= len(checked) / 2:
        note = replace(note, level="note")  # dark frames, which training excludes
    return replace(note, message=f"{note.message[:-1]} (seen in {frame_list(frames, leading)}).")


def _check_frames(
    valid: ValidPixels, shift: tuple[float, float], affine: Matrix | None
) -> Iterator[PairNote]:
    """Check one frame of each exposure."""
    for name, frame in zip(("first", "second"), valid.frames, strict=True):
        told: list[str] = []
        with warnings_to(told.append):
            warn_of_pixels(frame)
        for sentence in told:
            yield PairNote("warn", f"In the {name} exposure: {sentence}", "pixels")
    standard = [standardise(frame) for frame in valid.frames]
    one, two = (frame.image for frame in standard)
    nearest = None
    if affine is not None:
        one, two, nearest = _on_same_pixels(one, two, affine, valid)
        shift = (0.0, 0.0)
    one, two = _middle(one), _middle(two)
    agreed = agreement(one, two, shift)
    if agreed.error is not None:
        # If the shift differs between parts, a map may tell how
        in_parts = affine is None and agreed.error.kind == "parts"
        yield (_map_note(one, two) if in_parts else None) or _registration_note(agreed.error)
        return
    if agreed.shift is None:
        # In a small frame registration may fail although the scene is the same
        small = min(one.shape) < _SMALL
        if not small or not same_scene(*align(one, two, shift)):
            why = "they show different scenes, or there is hardly any light"
            if small:
                height, width = one.shape
                why = (
                    f"there is hardly any light, or the frame of {height} x {width} pixels is too "
                    "small to compare them"
                )
            yield PairNote(
                "warn",
                f"The two exposures have nothing in common above the noise: {why}.",
                "different",
            )
            return
        agreed = Agreement(shift)
    assert agreed.shift is not None
    if agreed.misaligned and affine is not None:
        yield PairNote(
            "warn",
            f"The second exposure has drifted by {_directions(agreed.shift)} since the map between "
            "the two was measured: split the frame again without the stored layout, or register.",
            "drift",
        )
    elif agreed.misaligned:
        yield PairNote(
            "warn",
            f"The second exposure is shifted against the first by {_directions(agreed.shift)}: "
            "register them first.",
            "shift",
            agreed.shift,
        )
    before = one, two
    one, two = align(one, two, agreed.shift)
    if min(one.shape) < SMALLEST // 2:
        return
    ratio = standard[1].deviation / standard[0].deviation
    notes = check_noise(one, two, ratio)
    if nearest is None:
        for note in notes:
            dy, dx = agreed.shift
            in_parts = note.kind in ("moved", "lines")
            yield (_map_note(*before, (round(dy), round(dx))) if in_parts else None) or note
        return
    # The noise of interpolated pixels is smooth and correlated, the nearest ones are misplaced
    yield from (note for note in notes if note.kind not in _OF_NOISE)
    notes = check_noise(_middle(nearest[0]), _middle(nearest[1]), ratio)
    yield from (note for note in notes if note.kind in _OF_NOISE)


def _map_note(first: Frame, second: Frame, at: tuple[int, int] | None = None) -> PairNote | None:
    """Return a note if the shift differs between parts of the image as an affine map does."""
    found = map_between(first[None], second[None], at=at)
    drift = scan_drift(first[None], second[None], at=at)
    if drift is not None:
        what_to_do = (
            "Crop both to rows that agree, or scan faster, or the result will blur."
            if found is None
            else "Register them, and the training follows the drift."
        )
        return PairNote(
            "warn",
            f"The scene drifted within the scan: the second exposure is shifted by "
            f"{_directions(drift.top)} at the top, by {_directions(drift.bottom)} at the bottom, "
            f"and the rows differ by up to {drift.range:.1f} px. {what_to_do}",
            "scan drift",
            None if found is None else found.shift,
        )
    if found is None:
        return None
    return PairNote(
        "warn",
        f"The second exposure is rotated by {math.degrees(found.rotation):.2f} degrees and "
        f"magnified {found.magnification:.4f} times. Register them, and the training uses this.",
        "distorted",
        found.shift,
    )


def _on_same_pixels(
    first: Frame, second: Frame, affine: Matrix, valid: ValidPixels
) -> tuple[Frame, Frame, tuple[Frame, Frame]]:
    """Resample the second frame onto the pixels of the first, and crop both to the common field.

    Returns
    -------
    first, second : (Y', X') float32 array
        The second is interpolated.
    nearest : two (Y', X') float32 arrays
        The second has the nearest raw pixels.
    """
    rows, columns = valid.area
    view_map = ViewMap(affine).counted_from((rows.start, columns.start))
    bottom, right = first.shape[0] - 1, first.shape[1] - 1
    corners = view_map.displacement([[0, 0], [0, right], [bottom, 0], [bottom, right]])
    edge = math.ceil(np.abs(corners).max())
    inner = np.s_[edge : bottom + 1 - edge, edge : right + 1 - edge]
    if min(first[inner].shape) < SMALLEST:
        inner = np.s_[:, :]
    moved, nearest = (view_map.resample(second, order)[inner] for order in (3, 0))
    return first[inner], moved, (first[inner], nearest)


def _registration_note(error: NotRegisteredError) -> PairNote:
    """Convert an error of the registration."""
    kinds = {"parts": "moved", "turned": "turned", "reversed": "reversed"}
    level: Literal["refuse", "warn"] = "refuse" if error.kind == "turned" else "warn"
    return PairNote(level, _sentence(error), kinds[error.kind])


def _directions(shift: tuple[float, float]) -> str:
    """Format a shift, for example '0.5 px down and 2.0 px to the left'."""
    vertical = f"{abs(shift[0]):.1f} px {'down' if shift[0] > 0 else 'up'}"
    horizontal = f"{abs(shift[1]):.1f} px to the {'right' if shift[1] > 0 else 'left'}"
    return f"{vertical} and {horizontal}"


def _middle(frame: NDArray[Any]) -> Frame:
    """Return the central part of a frame without its mean."""
    corner = [max(0, (length - _WINDOW) // 2) for length in frame.shape]
    part = frame[tuple(slice(start, start + _WINDOW) for start in corner)]
    centred: Frame = np.subtract(part, part.mean(dtype=np.float64), dtype=np.float64).astype(
        np.float32
    )
    return centred
