"""Line plots as SVG, for reports: no plotting library is needed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

WIDTH, HEIGHT = 460, 250  # pixels
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 26, 40
TICKS = 5
MOST_POINTS = 1500  # of a curve: more cannot be distinguished
DECADES = 8.0  # at most, on a logarithmic axis


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve, or points.

    Parameters
    ----------
    name : str
        For the legend.
    x, y : (n,) array
        NaN and, on a logarithmic axis, values that are not positive make gaps.
    colour : str
        Of CSS.
    dashed, points : bool
    """

    name: str
    x: ArrayLike
    y: ArrayLike
    colour: str
    dashed: bool = False
    points: bool = False


def svg_plot(
    curves: Sequence[Curve],
    x_label: str,
    y_label: str,
    *,
    logarithmic: bool = False,
    y_range: tuple[float, float] | None = None,
    markers: Sequence[float] = (),
) -> str:
    """Return a plot as an SVG element.

    Parameters
    ----------
    curves : sequence of Curve
    x_label, y_label : str
    logarithmic : bool
        Of the y axis.
    y_range : (float, float), optional
        By default that of the curves.
    markers : sequence of float
        Positions of vertical lines.

    Returns
    -------
    str

    Examples
    --------
    >>> plot = svg_plot([Curve("raw", [0, 1], [2, 3], "grey")], "distance (nm)", "grey levels")
    >>> plot.startswith("<svg") and "distance (nm)" in plot
    True
    """
    drawn = [(curve, *_points(curve, logarithmic)) for curve in curves]
    xs = np.concatenate([x[np.isfinite(y)] for _, x, y in drawn] or [np.zeros(1)])
    ys = np.concatenate([y[np.isfinite(y)] for _, _, y in drawn] or [np.zeros(1)])
    x_axis = _Axis.of(xs, LEFT, WIDTH - RIGHT, margin=0.0)
    if y_range is not None:
        ys = np.array([math.log10(end) if logarithmic else end for end in y_range])
    elif logarithmic and ys.size:
        ys = np.maximum(ys, ys.max() - DECADES)
    y_axis = _Axis.of(ys, HEIGHT - BOTTOM, TOP, margin=0.0 if y_range else 0.05)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">',
        f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" '
        f'height="{HEIGHT - TOP - BOTTOM}"/>',
    ]
    for tick in x_axis.ticks():
        at = float(x_axis.place(tick))
        parts.append(f'<path class="tick" d="M{at:.1f} {HEIGHT - BOTTOM}v4"/>')
        parts.append(_text(at, HEIGHT - BOTTOM + 16, f"{tick:.6g}", "middle"))
    for tick in y_axis.ticks(whole=logarithmic):
        at = float(y_axis.place(tick))
        parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>')
        label = f"{10**tick:.4g}" if logarithmic else f"{tick:.6g}"
        parts.append(_text(LEFT - 6, at + 4, label, "end"))
    for marker in markers:
        if math.isfinite(marker) and x_axis.low <= marker <= x_axis.high:
            at = float(x_axis.place(marker))
            parts.append(f'<path class="marker" d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
    legend = LEFT
    for curve, x, y in drawn:
        clipped = np.clip(y, y_axis.low, y_axis.high)
        parts.append(_drawing(curve, x_axis.place(x), y_axis.place(clipped)))
        parts += [_sample(curve, legend), _text(legend + 20, 17, curve.name, "start")]
        legend += 34 + 7 * len(curve.name)
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_label, "middle"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text x="12" y="{middle}" text-anchor="middle" '
        f'transform="rotate(-90 12 {middle})">{escape(y_label)}</text>'
    )
    return "".join([*parts, "</svg>"])


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    start: float
    end: float

    @classmethod
    def of(cls, values: NDArray[np.float64], start: float, end: float, margin: float) -> _Axis:
        low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
        if high <= low:
            low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
        span = (high - low) * margin
        return cls(low - span, high + span, start, end)

    def place(self, value: ArrayLike) -> NDArray[np.float64]:
        """Return the position in the picture, pixels."""
        share = (np.asarray(value, np.float64) - self.low) / (self.high - self.low)
        return np.asarray(self.start + share * (self.end - self.start))

    def ticks(self, whole: bool = False) -> list[float]:
        """Return round numbers, for example 0, 0.2, 0.4; whole ones on a logarithmic axis."""
        rough = (self.high - self.low) / TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m for m in (1, 2, 5, 10) if m * power >= rough * 0.999) * power
        if whole:
            step = max(1.0, round(step))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(n * step, 12) for n in range(first, last + 1)]


def _points(curve: Curve, logarithmic: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.asarray(curve.x, np.float64), np.asarray(curve.y, np.float64)
    step = max(1, len(x) // MOST_POINTS)
    x, y = x[::step], y[::step]
    if logarithmic:
        y = np.log10(np.where(y > 0, y, np.nan))
    return x, y


def _drawing(curve: Curve, x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    known = np.isfinite(y)
    if curve.points:
        return "".join(
            f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{curve.colour}"/>'
            for a, b in zip(x[known], y[known], strict=True)
        )
    path, down = [], False
    for a, b, drawn in zip(x.tolist(), y.tolist(), known.tolist(), strict=True):
        if drawn:
            path.append(f"{'L' if down else 'M'}{a:.1f} {b:.1f}")
        down = drawn
    style = ' stroke-dasharray="5 3"' if curve.dashed else ""
    return (
        f'<path fill="none" stroke="{curve.colour}" stroke-width="1.5"{style} d="{"".join(path)}"/>'
    )


def _sample(curve: Curve, x: float) -> str:
    """Return what stands for a curve in the legend."""
    if curve.points:
        return f'<circle cx="{x + 8}" cy="13" r="3" fill="{curve.colour}"/>'
    style = ' stroke-dasharray="5 3"' if curve.dashed else ""
    return f'<path stroke="{curve.colour}" stroke-width="3"{style} d="M{x} 13h16"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
