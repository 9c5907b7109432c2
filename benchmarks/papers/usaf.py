"""A USAF 1951 target in transmitted light, as seen by the microscope of the pair paper."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIDE = 384  # pixels
PIXEL = 0.274  # µm: 2.74 µm behind a 10x objective (section 4.1)
CUTOFF = 2 * 0.25 / 0.55  # 1/µm: NA 0.25, 550 nm, incoherent light
CHROME = 0.05  # transmission of the bars; that of glass is 1
FINE = 8  # oversampling of the drawing
DIP = 0.265  # Rayleigh's criterion: relative depth of the dip between two resolved points


@dataclass(frozen=True)
class Element:
    """Three vertical and three horizontal bars; `x` and `y` are the upper left corner, pixels."""

    group: int
    number: int
    y: float
    x: float

    @property
    def frequency(self) -> float:
        """Line pairs per millimetre."""
        return 2 ** (self.group + (self.number - 1) / 6)

    @property
    def width(self) -> float:
        """Width of a bar, pixels."""
        return 1000 / (2 * self.frequency) / PIXEL

    def bars(self) -> list[tuple[float, float, float, float]]:
        """Return y0, y1, x0, x1 of three vertical and three horizontal bars."""
        w, y, x = self.width, self.y, self.x
        upright = [(y, y + 5 * w, x + 2 * n * w, x + (2 * n + 1) * w) for n in range(3)]
        x += 7 * w
        return upright + [(y + 2 * n * w, y + (2 * n + 1) * w, x, x + 5 * w) for n in range(3)]

    def resolved(self, image: np.ndarray) -> bool:
        """Return whether the bars are resolved along single lines of pixels, as in Fig. 7(a3).

        In nine of ten lines across the bars, the dip between both gaps and their adjacent bars must
        reach Rayleigh's criterion.
        """
        w = self.width
        found = []
        for turned, x in ((image, self.x), (image.T, self.y)):
            y = self.y if turned is image else self.x + 7 * w
            lines = range(int(np.ceil(y + w)), int(y + 4 * w))
            for line in lines:
                level = [self._level(turned[line], x + (n + 0.5) * w) for n in range(5)]
                bars, gaps = level[::2], level[1::2]
                dips = [
                    1 - bar / gap if gap > 0 else -1.0
                    for n, gap in enumerate(gaps)
                    for bar in bars[n : n + 2]
                ]
                found.append(min(dips) > DIP)
        return bool(np.mean(found) >= 0.9)

    def _level(self, line: np.ndarray, middle: float) -> float:
        """Return the mean over the inner half of a bar or gap; pixel n spans n to n + 1."""
        first = int(np.floor(middle - self.width / 4))
        last = max(int(np.floor(middle + self.width / 4)), first)
        return float(line[first : last + 1].mean())


def elements() -> list[Element]:
    """Return groups 7 (without its two largest elements), 8 and 9, one column per group."""
    found, left = [], 10.0
    for group, numbers in ((7, range(3, 7)), (8, range(1, 7)), (9, range(1, 7))):
        top = 10.0
        for number in numbers:
            element = Element(group, number, top, left)
            found.append(element)
            top += 7 * element.width
        left += 14.5 * Element(group, numbers[0], 0, 0).width
    return found


FLAT = (slice(264, 364), slice(250, 350))  # 100 x 100 pixels of bare glass, the yellow box


def target() -> np.ndarray:
    """Return the transmission of the target behind the objective, noise-free."""
    fine = np.ones((SIDE * FINE, SIDE * FINE), np.float32)
    for element in elements():
        for y0, y1, x0, x1 in element.bars():
            rows, columns = (
                slice(round(a * FINE), round(b * FINE)) for a, b in ((y0, y1), (x0, x1))
            )
            fine[rows, columns] = CHROME
    image = fine.reshape(SIDE, FINE, SIDE, FINE).mean(axis=(1, 3))
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)) / PIXEL
    share = np.clip(frequency / CUTOFF, 0, 1)
    transfer = 2 / np.pi * (np.arccos(share) - share * np.sqrt(1 - share**2))
    return np.clip(np.fft.irfft2(np.fft.rfft2(image) * transfer, image.shape), 0, None)
