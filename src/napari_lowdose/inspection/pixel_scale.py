"""Pixel size and unit, for the axes of profiles and spectra."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PixelScale:
    """Height and width of a pixel, and their unit.

    Parameters
    ----------
    height, width : float
        In `unit`.
    unit : str
        "px" if the pixel size is unknown.

    Raises
    ------
    ValueError
        If a length is not positive and finite.

    Examples
    --------
    >>> PixelScale().frequency_label
    'spatial frequency (1/px)'
    >>> PixelScale.of(0.25, "nm").length_label
    'distance (nm)'
    """

    height: float = 1.0
    width: float = 1.0
    unit: str = "px"

    def __post_init__(self) -> None:
        if not all(0 < length < math.inf for length in (self.height, self.width)):
            raise ValueError(
                f"The pixel size is a positive length, not ({self.height}, {self.width})."
            )

    @classmethod
    def of(cls, pixel_size: float | Sequence[float] | None, unit: str | None = None) -> PixelScale:
        """Return the scale of a pixel size; pixels if it is None.

        Parameters
        ----------
        pixel_size : float or (float, float), optional
            Height and width.
        unit : str, optional
            "units" if the pixel size is given without one.

        Raises
        ------
        ValueError
            If it is not one positive length, or two.
        """
        if pixel_size is None:
            return cls()
        try:
            height, width = np.broadcast_to(np.asarray(pixel_size, float), 2).tolist()
        except (TypeError, ValueError):
            raise ValueError(
                f"The pixel size is a length, or height and width, not {pixel_size!r}."
            ) from None
        return cls(height, width, unit or "units")

    @property
    def length_label(self) -> str:
        """Label of an axis of lengths."""
        return f"distance ({self.unit})"

    @property
    def frequency_label(self) -> str:
        """Label of an axis of spatial frequencies."""
        return f"spatial frequency (1/{self.unit})"

    @property
    def nyquist(self) -> float:
        """The lower one of the two Nyquist frequencies, 1/unit."""
        return 0.5 / max(self.height, self.width)


PIXELS = PixelScale()
"""The scale of an image whose pixel size is unknown."""
