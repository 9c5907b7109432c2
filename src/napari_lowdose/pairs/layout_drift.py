"""Drift of the views since their layout was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.pairs.register import measure_registration, read_some_frames
from napari_lowdose.pairs.scene_shift import NotRegisteredError
from napari_lowdose.warned import warn

if TYPE_CHECKING:
    from napari_lowdose.pairs.split_layout import SplitLayout

    Shift = tuple[float, float]

LEAST_DRIFT = 0.2  # px: a smaller one costs less than 0.2 dB
SIGNIFICANT = 3.0  # standard errors
FRAMES = 16
REACH = 32  # px: largest drift that is searched


@dataclass(frozen=True)
class LayoutDrift:
    """Drift of the second view since its layout was measured.

    Attributes
    ----------
    shift, error : (float, float)
        (dy, dx) and its standard error, pixels.
    """

    shift: Shift
    error: Shift

    @property
    def size(self) -> float:
        """Length of the shift, pixels."""
        return math.hypot(*self.shift)

    @property
    def significant(self) -> bool:
        """Whether the drift is larger than its error, and large enough to cost detail."""
        return self.size > max(LEAST_DRIFT, SIGNIFICANT * math.hypot(*self.error))

    def __str__(self) -> str:
        """Tell the drift and what to do.

        Examples
        --------
        >>> print(LayoutDrift((0.3, -0.26), (0.02, 0.03)))
        the views have drifted by 0.4 px since the calibration (y +0.30 ± 0.02 px, x -0.26 ± 0.03
        px): measure the layout on this movie and save it again.
        """
        (dy, dx), (ey, ex) = self.shift, self.error
        return (
            f"the views have drifted by {self.size:.1f} px since the calibration "
            f"(y {dy:+.2f} ± {ey:.2f} px, x {dx:+.2f} ± {ex:.2f} px): measure the layout on this "
            "movie and save it again."
        )


def layout_drift(layout: SplitLayout, movie: Any) -> LayoutDrift:
    """Measure how far the second view has drifted since its layout was measured.

    Parameters
    ----------
    layout : SplitLayout
    movie : (..., Y, X) array
        Frames of the same camera, up to 16 of which are read.

    Returns
    -------
    LayoutDrift

    Raises
    ------
    ValueError
        If the size of the frames differs from that of the layout, or the two views of these frames
        have nothing in common above the noise.

    Examples
    --------
    >>> from napari_lowdose import samples, split_frame
    >>> layout = split_frame(samples.beamsplitter_frame()[0])[2]
    >>> later = samples.Beamsplitter(shift=(1.3, -2.1))  # it was (1.3, -2.6)
    >>> drift = layout_drift(layout, samples.beamsplitter_frame(splitter=later)[0])
    >>> drift.significant, round(drift.size, 1)
    (True, 0.5)
    """
    first, second = read_some_frames(*layout.split(movie), most=FRAMES)
    expected = np.zeros(2)
    if layout.affine is None:
        expected = np.array(layout.fraction)
    else:
        second = layout.view_map.resample(second)
    found = measure_registration(first, second, (REACH, REACH))
    dy, dx = np.subtract(found.shift, expected)
    # The layout has an error of its own
    ey, ex = np.hypot(found.shift_error, layout.shift_error)
    return LayoutDrift((float(dy), float(dx)), (float(ey), float(ex)))


def warn_if_drifted(layout: SplitLayout, movie: Any) -> None:
    """Warn if the views have drifted since the layout was measured, or show different scenes.

    Parameters
    ----------
    layout : SplitLayout
    movie : (..., Y, X) array

    Raises
    ------
    ValueError
        If the size of the frames differs from that of the layout.
    """
    try:
        drift = layout_drift(layout, movie)
    except NotRegisteredError as error:
        text = (
            f"the calibration of the views could not be compared with this movie: {error} If it "
            "has enough light, measure its layout again."
        )
    else:
        if not drift.significant:
            return
        text = str(drift)
    warn(text, stacklevel=3)
