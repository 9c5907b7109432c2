"""How much better the result is than one exposure, in words."""

from __future__ import annotations

from napari_lowdose.noise2noise.evaluation.gain_interval import GainInterval


def gain_in_words(gain: tuple[float, float] | None) -> str:
    """Return the gain for a person; empty as long as it is not known.

    Parameters
    ----------
    gain : (float, float) or None
        95 % interval, dB.

    Examples
    --------
    >>> gain_in_words((9.81, 10.63))
    '9.8 to 10.6 dB better than one exposure'
    >>> gain_in_words((17.2, float("inf")))
    'at least 17 dB better than one exposure'
    >>> gain_in_words((-1.2, 0.4))
    'no better than one exposure so far (-1.2 to 0.4 dB)'
    """
    if gain is None:
        return ""
    told = str(GainInterval(*gain))
    if told == "not known":
        return ""
    if gain[0] <= 0:
        return f"no better than one exposure so far ({told})"
    return f"{told} better than one exposure"
