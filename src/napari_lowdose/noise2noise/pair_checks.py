"""A bad pair is caught before it wastes a minute: what two exposures must be, in sentences."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_lowdose.imaging.image_checks import check_image, warn_of_pixels
from napari_lowdose.io.arrays import as_image
from napari_lowdose.noise2noise.gain_matching import match_gain, same_scene
from napari_lowdose.noise2noise.sound_pixels import SMALLEST, SoundPixels, sound_pixels
from napari_lowdose.noise2noise.standardised import standardised
from napari_lowdose.noise2noise.usable_pairs import FrameChoice, check_exposure, listed
from napari_lowdose.pairs.agreement import (
    Agreement,
    agreement,
    aligned,
    block_sums,
    cells,
    in_errors,
)
from napari_lowdose.pairs.dependent import made_of_the_other

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_lowdose.pairs.scene_shift import NotRegisteredError

    Frame = NDArray[np.float32]
    Blocks = NDArray[np.float64]

__all__ = ["PairNote", "check_pair", "refuse_bad_pair"]

_LOOKED_AT = 9  # frames of a movie, evenly spread
_WINDOW = 1024  # pixels: of a larger frame its middle is looked at
_BLOCKS = 16  # along each side: their scatter is the error of every statistic
_SURE = 5.0  # standard errors
_SMALL = 64  # pixels: a field in which a correlation is hard to tell from chance
_PART = 24  # pixels: the least side of parts that may move each by itself
_SLOPE = 1.5  # pixels: the smoothing under a slope
_SURPRISING = 4.0  # times the power by chance
_CELL = 4  # pixels: side of the cells in whose means structure is looked for
_LEAST_SHIFT = 0.3  # pixels: less does no harm worth a warning
_CORRELATED = 0.12  # of neighbours in the difference, from which on it is said
_COMMON_NOTE, _COMMON_WARN = 0.05, 0.25  # of the noise's variance
_COMMON_BESIDE_SCENE = 0.03  # of the scene's variance: less is detail, in exposures without noise
_MOVED = 0.15  # correlation of the difference's blocks
_UNLIKE = 2.0  # times as much light, or noise
_SMOOTH = 100.0  # times as much noise: the other is no exposure of the same kind


@dataclass(frozen=True)
class PairNote:
    """What is to be said of a pair, in one sentence.

    Attributes
    ----------
    level : {"refuse", "warn", "note"}
        Training would be useless; the result may mislead; worth knowing.
    message : str
    kind : str
        "shape", "unusable", "same", "frames", "different", "turned", "reversed", "shift", "moved",
        "dependent", "common noise", "correlated noise", "pixels", "gain", "noise" or
        "smooth".
    shift : (float, float), optional
        For "shift": how far the second is displaced against the first, pixels.
    """

    level: Literal["refuse", "warn", "note"]
    message: str
    kind: str
    shift: tuple[float, float] | None = None


def check_pair(first: Any, second: Any, shift: tuple[float, float] = (0.0, 0.0)) -> list[PairNote]:
    """Look for what makes a pair unfit to train on.

    Parameters
    ----------
    first, second : (..., Y, X) array
        The two exposures; NumPy or dask.  Of a movie, up to nine frames are read, evenly
        spread; more where none of them can be used.
    shift : (float, float)
        (dy, dx), pixels, that is known already: what lies at (y, x) in the first lies
        at (y + dy, x + dx) in the second.

    Returns
    -------
    list of PairNote
        The gravest first; empty for a good pair.  After a refusal on the
        shape or the pixels nothing else is looked at.

    Notes
    -----
    - Same: one is the other times a gain plus an offset, to a millionth of its variance.
    - Frames: some of a movie are black, constant, repeated, or the same in both exposures.
    - Shift: as `register_pair` finds it, which is refused if it differs between the quarters of
      the frame; told if its error cannot explain it.
    - Turned, reversed: the second is mirrored, rotated, or its contrast reversed.
    - Dependent: one holds the noise of the other and none of its own, as the mean of both does.
    - Common noise: the cross-covariance of the two at lag 0 above what lags of 1,
      2 and 3 pixels predict; a pattern of the sensor, or an exposure in both.
      Detail of a single pixel in the scene looks the same.
    - Correlated noise: the autocorrelation of the difference at a lag of one pixel.
    - Moved: what is left in the difference, after gain, offset and shift are
      matched, correlates over 8 pixels and more, or follows the slopes of the scene.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> scene = 20 + 10 * np.sin(np.arange(128) / 4) * np.cos(np.arange(128)[:, None] / 5)
    >>> check_pair(rng.poisson(scene), rng.poisson(scene))
    []
    >>> first = rng.poisson(scene)
    >>> print(check_pair(first, 2 * first)[0].message)
    The two exposures hold the same data: choose two exposures of the scene, or the network ...
    """
    try:
        first = as_image(first, "the first exposure")
        second = as_image(second, "the second exposure")
    except ValueError as error:
        return [PairNote("refuse", str(error)[0].upper() + str(error)[1:], "unusable")]
    if first.shape != second.shape:
        return [
            PairNote(
                "refuse",
                f"The two exposures have different shapes, {first.shape} and {second.shape}: crop "
                "them to the same field.",
                "shape",
            )
        ]
    for name, exposure in (("first", first), ("second", second)):
        try:
            check_image(exposure)
        except ValueError as error:
            return [PairNote("refuse", _of(name, error), "unusable")]
    leading = first.shape[:-2]
    n = math.prod(leading)
    spread = [int(k) for k in np.linspace(0, n - 1, min(n, _LOOKED_AT)).round()]
    choice = FrameChoice(leading)
    found: dict[str, list[tuple[int, PairNote]]] = {}
    looked_at: list[int] = []
    for turn, k in enumerate([*spread, *sorted(set(range(n)) - set(spread))]):
        if turn >= len(spread) and looked_at:
            break
        at = np.unravel_index(k, leading)
        frames = (np.asarray(first[at]), np.asarray(second[at]))
        try:
            for name, frame in zip(("first", "second"), frames, strict=True):
                check_exposure(name, frame, k, leading)
        except ValueError as error:
            return [PairNote("refuse", str(error), "unusable")]
        sound = sound_pixels(*frames)
        if not choice.is_usable(k, sound):
            continue
        looked_at.append(k)
        for note in _check_frames(sound, shift):
            found.setdefault(note.kind, []).append((k, note))
    if not looked_at:
        return [_no_frame(choice, n)]
    notes = [_of_movie(each, looked_at, leading) for each in found.values()]
    if choice:
        notes.append(PairNote("note", f"Left out of the training: {choice}.", "frames"))
    return sorted(notes, key=lambda note: _GRAVITY[note.level])


def refuse_bad_pair(first: Any, second: Any, shift: tuple[float, float] = (0.0, 0.0)) -> None:
    """Check a pair, as `check_pair` does, and say what is wrong by error and warnings.

    Parameters
    ----------
    first, second : (..., Y, X) array
        The two exposures.
    shift : (float, float)
        (dy, dx), pixels, that is known already.

    Raises
    ------
    ValueError
        If the pair is to be refused.

    Warns
    -----
    UserWarning
        For what may mislead; notes are left out.
    """
    for note in check_pair(first, second, shift):
        if note.level == "refuse":
            raise ValueError(note.message)
        if note.level == "warn":
            warnings.warn(note.message, UserWarning, stacklevel=2)


_GRAVITY = {"refuse": 0, "warn": 1, "note": 2}


def _of(name: str, sentence: object) -> str:
    """Say of which exposure a sentence about an image is."""
    return f"Of the {name} exposure: {sentence}"


def _no_frame(choice: FrameChoice, n: int) -> PairNote:
    """Refuse a pair, or a movie of pairs, of which no frame can be used."""
    if set(choice.left_out) == {"same"}:
        exposures = "The two exposures" if n == 1 else "In every frame the two exposures"
        return PairNote(
            "refuse",
            f"{exposures} hold the same data: choose two exposures of the scene, or the network "
            "learns to return its input.",
            "same",
        )
    return PairNote("refuse", f"There is no pair to train on: {choice}.", "unusable")


def _of_movie(
    found: list[tuple[int, PairNote]], looked_at: list[int], leading: tuple[int, ...]
) -> PairNote:
    """Say the gravest of what was found of one kind, and in which frames of those looked at."""
    _, note = min(found, key=lambda each: _GRAVITY[each[1].level])
    frames = sorted({k for k, _ in found})
    if len(frames) == len(looked_at):
        return note
    if note.kind == "different" and len(frames) <= len(looked_at) / 2:
        note = replace(note, level="note")  # dark ones: they are left out of the training
    return replace(note, message=f"{note.message[:-1]} (seen in {listed(frames, leading)}).")


def _check_frames(sound: SoundPixels, shift: tuple[float, float]) -> Iterator[PairNote]:
    """Check one frame of each exposure."""
    for name, frame in zip(("first", "second"), sound.frames, strict=True):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warn_of_pixels(frame)
        for warning in caught:
            yield PairNote("warn", _of(name, warning.message), "pixels")
    standard = [standardised(frame) for frame in sound.frames]
    one, two = (_middle(frame.image) for frame in standard)
    agreed = agreement(one, two, shift)
    if agreed.trouble is not None:
        yield _of_trouble(agreed.trouble)
        return
    if agreed.found is None:
        small = min(one.shape) < _SMALL
        if not small or not same_scene(*aligned(one, two, shift)):
            why = "they show different scenes, or hardly any light"
            if small:
                height, width = one.shape
                why = f"there is hardly any light, or {height} x {width} pixels are too few to tell"
            yield PairNote(
                "warn",
                f"The two exposures have nothing in common that can be told from noise: {why}.",
                "different",
            )
            return
        agreed = Agreement(shift)
    assert agreed.found is not None
    if agreed.off:
        yield PairNote(
            "warn",
            f"The second exposure is shifted against the first by {_directions(agreed.found)}: "
            "register them first.",
            "shift",
            agreed.found,
        )
    one, two = aligned(one, two, agreed.found)
    if min(one.shape) >= SMALLEST // 2:
        yield from _check_noise(one, two, standard[1].deviation / standard[0].deviation)


def _of_trouble(error: NotRegisteredError) -> PairNote:
    """Say why two exposures cannot be registered."""
    kinds = {"parts": "moved", "turned": "turned", "reversed": "reversed"}
    message = str(error)
    level: Literal["refuse", "warn"] = "refuse" if error.kind == "turned" else "warn"
    return PairNote(level, message[0].upper() + message[1:], kinds[error.kind])


def _directions(shift: tuple[float, float]) -> str:
    """Say a shift in pixels."""
    vertical = f"{abs(shift[0]):.1f} px {'down' if shift[0] > 0 else 'up'}"
    horizontal = f"{abs(shift[1]):.1f} px to the {'right' if shift[1] > 0 else 'left'}"
    return f"{vertical} and {horizontal}"


def _middle(frame: NDArray[Any]) -> Frame:
    """Return the middle of a frame, without its mean."""
    corner = [max(0, (length - _WINDOW) // 2) for length in frame.shape]
    part = frame[tuple(slice(start, start + _WINDOW) for start in corner)]
    centred: Frame = np.subtract(part, part.mean(dtype=np.float64), dtype=np.float64).astype(
        np.float32
    )
    return centred


def _fine(frame: Frame) -> Frame:
    """Return the difference of neighbours along both axes: four times the noise's variance."""
    fine: Frame = frame[1:, 1:] - frame[1:, :-1] - frame[:-1, 1:] + frame[:-1, :-1]
    return fine


def _check_noise(one: Frame, two: Frame, contrast: float) -> Iterator[PairNote]:
    """Check whether what two aligned exposures differ in is independent noise.

    Both are standardised; `contrast` is that of the second against the first.
    """
    match = match_gain(one, two)
    gain = match.gain * contrast
    if math.isfinite(match.error) and not 1 / _UNLIKE <= gain <= _UNLIKE:
        yield PairNote(
            "note",
            f"The second exposure is {gain:.2g} times as bright as the first: they are "
            "matched, and the fainter one limits the result.",
            "gain",
        )
    two = match.to_first(two)
    difference = two - one
    difference -= difference.mean(dtype=np.float64)
    power = float(np.square(difference, dtype=np.float64).mean())
    if power == 0:
        return
    if made := made_of_the_other(one, two):
        other = "first" if made == "second" else "second"
        yield PairNote(
            "refuse",
            f"The {made} exposure holds the noise of the {other}, as the mean or sum of both does: "
            "choose two exposures that were taken independently.",
            "dependent",
        )
        return
    share = _first_share(one, two)
    if not 1 / (1 + _UNLIKE) <= share <= _UNLIKE / (1 + _UNLIKE):
        worse = "first" if share > 0.5 else "second"
        ratio = max(share, 1 - share) / max(min(share, 1 - share), 1e-3)
        if ratio > _SMOOTH:
            better = "second" if share > 0.5 else "first"
            yield PairNote(
                "warn",
                f"The {better} exposure has hardly any noise beside the {worse} one: it looks "
                "denoised already, or averaged; choose two raw exposures.",
                "smooth",
            )
            return
        yield PairNote(
            "note",
            f"The {worse} exposure has {ratio:.2g} times the noise variance of the other: the mean "
            "of both results is not much better than the better one.",
            "noise",
        )
    if _changed(difference) or _local_shift(one + two, difference) > _LEAST_SHIFT:
        yield PairNote(
            "warn",
            "The two exposures differ by more than noise, over many pixels alike: the specimen "
            "moved or changed, or the light did, and the result blurs the two.",
            "moved",
        )
    else:
        yield from _check_correlated(difference, power)
    yield from _check_common(one, two, power / 2)


def _first_share(one: Frame, two: Frame) -> float:
    """Return the first's share in the noise variance, from the finest detail."""
    a, b = _fine(one), _fine(two)
    power = float(np.vdot(a - b, a - b))
    return min(max(float(np.vdot(a, a - b)) / power, 0.0), 1.0) if power else 0.5


def _changed(difference: Frame) -> bool:
    """Tell whether the difference has structure, and not along the rows of a scan only."""
    means = cells(difference, _CELL)
    power = float((means**2).mean())
    along = [float((means[2:] * means[:-2]).mean()), float((means[:, 2:] * means[:, :-2]).mean())]
    return min(along) > max(_MOVED, _SURE / math.sqrt(means.size)) * power


def _local_shift(both: Frame, difference: Frame) -> float:
    """Return by how many pixels, root mean square, parts of the scene moved; 0 if by chance.

    What moves leaves its slope times the shift in the difference.  By chance the noise has
    of the slope what its own variance gives, more where neighbouring pixels share it.
    """
    from scipy.ndimage import gaussian_filter

    n = min(_BLOCKS, min(both.shape) // _PART)
    square = difference**2
    power = float(square.mean(dtype=np.float64))
    shared = 1.0
    for axis in (0, 1):
        for lag in (1, 2):
            common = float(_lagged(difference, difference, lag, axis).mean(dtype=np.float64))
            shared *= 1 + 2 * max(0.0, common / power)
    found, by_chance, steepness = 0.0, 0.0, 0.0
    for order in ((1, 0), (0, 1)):
        slope = gaussian_filter(both / 2, _SLOPE, order=order)
        found += float((block_sums(slope * difference, n) ** 2).sum())
        by_chance += shared * float((slope**2 * square).sum(dtype=np.float64))
        steepness += float((block_sums(slope**2, n) ** 2).sum()) / 2
    return math.sqrt((found - by_chance) / steepness) if found > _SURPRISING * by_chance else 0.0


def _check_correlated(difference: Frame, power: float) -> Iterator[PairNote]:
    """Check whether neighbouring pixels share noise."""

    def correlation(axis: int) -> float:
        return float(_lagged(difference, difference, 1, axis).mean(dtype=np.float64)) / power

    along = [correlation(axis) for axis in (0, 1)]
    least = max(_CORRELATED, _SURE * 2 / math.sqrt(difference.size))
    if min(along) > least:
        yield PairNote(
            "warn",
            f"Neighbouring pixels share noise (correlation {sum(along) / 2:.2f}): the images were "
            "interpolated or averaged, or the detector spreads its signal, and the network "
            "may take such noise for detail; use the raw images where there are any.",
            "correlated noise",
        )
    elif max(along) > least:
        lines = "columns" if along[0] > along[1] else "rows"
        yield PairNote(
            "note",
            f"Neighbouring pixels share noise along the {lines} (correlation {max(along):.2f}), as "
            "in a fast scan: some of it may stay in the result.",
            "correlated noise",
        )


def _lagged(one: Frame, two: Frame, lag: int, axis: int) -> Frame:
    """Multiply one with the other, displaced along an axis; cut to where both are."""
    if axis:
        one, two = one.T, two.T
    return one[: len(one) - lag] * two[lag:]


def _check_common(one: Frame, two: Frame, noise: float) -> Iterator[PairNote]:
    """Check whether the two share noise: a spike in their covariance, of a single pixel."""
    covariance = []
    for lag in range(4):
        products = [
            _lagged(a, b, lag, axis)[: one.shape[axis] - 3]
            for axis in (0, 1)
            for a, b in ((one, two), (two, one))
        ]
        blocks = [block_sums(product, _BLOCKS) / product.size for product in products]
        covariance.append(np.mean(blocks, axis=0))
    # A cubic through lags of 1, 2 and 3 pixels and either side: cusp or not, the scene's own
    spike = covariance[0] - 3 * covariance[1] + 3 * covariance[2] - covariance[3]
    share = float(spike.sum()) / noise
    if in_errors(spike) < _SURE or share < _COMMON_NOTE:
        return
    if share > _COMMON_WARN and spike.sum() > _COMMON_BESIDE_SCENE * covariance[0].sum():
        yield PairNote(
            "warn",
            f"The two exposures share noise ({_percent(share)} of its variance), or have detail of "
            "a single pixel: what comes from one exposure, or from a fixed pattern of the sensor, "
            "will be taken for the scene and stay in the result.",
            "common noise",
        )
    else:
        yield PairNote(
            "note",
            f"The two exposures share a faint pattern of single pixels ({_percent(share)} of the "
            "noise's variance), of the sensor or the scene: it will stay in the result.",
            "common noise",
        )


def _percent(share: float) -> str:
    return f"{min(share, 9.99):.0%}"
