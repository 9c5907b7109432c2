"""BM3D with the best sigma in hindsight, which is unknown in practice.

    python -m benchmarks.rivals.bm3d_best IMAGE.npy TRUTH.npy OUT.npy [--gain G --gaussian S]

The `data_range` of the PSNR is the maximum of the truth.  With `--gain` and `--gaussian`, BM3D is
also applied to the variance-stabilised image (generalised Anscombe transform with its exact
unbiased inverse in closed form), and the better result is kept.  bm3d is in the dependency group
`benchmarks`; its licence allows non-commercial use only.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.floating]


@dataclass(frozen=True)
class BestBm3d:
    image: Image
    score: float
    sigma: float  # in units of the image, or of the stabilised image, whose noise is 1
    stabilised: bool


def best_bm3d(
    image: Image,
    score: Callable[[Image], float],
    *,
    gain: float | None = None,
    gaussian: float = 0.0,
) -> BestBm3d:
    """Return the best result of BM3D over a grid of sigmas.

    Parameters
    ----------
    image : (Y, X) array
        Noisy image.
    score : callable
        Function of a result that returns a number, larger for a better result, such as the PSNR.
    gain : float, optional
        Ratio of the variance of the shot noise to the signal, in units of the image.  If given,
        the variance-stabilised image is tried, too.
    gaussian : float, optional
        Standard deviation of the signal-independent noise, in units of the image.
    """
    from skimage.restoration import estimate_sigma

    best = over_sigmas(image, float(estimate_sigma(image)), score, lambda clean: clean)
    if gain is None:
        return best
    stabilised = over_sigmas(
        anscombe(image, gain, gaussian),
        1.0,
        score,
        lambda clean: inverse_anscombe(clean, gain, gaussian),
        stabilised=True,
    )
    return max(best, stabilised, key=lambda result: result.score)


def over_sigmas(
    image: Image,
    noise: float,
    score: Callable[[Image], float],
    back: Callable[[Image], Image],
    *,
    stabilised: bool = False,
) -> BestBm3d:
    """Try sigmas in steps of a factor of 1.4 until the best is bracketed, then half steps."""
    from bm3d import bm3d

    tried: dict[float, BestBm3d] = {}  # key: octaves above `noise`

    def best_after(*octaves: float) -> float:
        for octave in octaves:
            sigma = noise * 2**octave
            clean = back(bm3d(image, sigma))
            tried[octave] = BestBm3d(clean, score(clean), sigma, stabilised)
        return max(tried, key=lambda octave: tried[octave].score)

    best = best_after(-0.5, 0, 0.5)
    while best in (min(tried), max(tried)) and abs(best) < 4:
        best = best_after(best + 0.5 if best > 0 else best - 0.5)
    return tried[best_after(best - 0.25, best + 0.25)]


def anscombe(image: Image, gain: float, gaussian: float) -> Image:
    """Transform noise of variance ``gain * signal + gaussian**2`` to a variance of one."""
    inside = gain * image + 0.375 * gain**2 + gaussian**2
    return 2 / gain * np.sqrt(np.maximum(inside, 0))


def inverse_anscombe(stabilised: Image, gain: float, gaussian: float) -> Image:
    """Return the exact unbiased inverse of `anscombe` (Makitalo & Foi 2013, closed form)."""
    # The closed form increases again below the mean for zero counts
    d = np.maximum(stabilised, 2 * np.sqrt(0.375 + (gaussian / gain) ** 2))
    root = np.sqrt(1.5)
    counts = d**2 / 4 + root / (4 * d) - 11 / (8 * d**2) + 5 * root / (8 * d**3) - 1 / 8
    return gain * (counts - (gaussian / gain) ** 2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--gain", type=float)
    parser.add_argument("--gaussian", type=float, default=0.0)
    arguments = parser.parse_args()
    truth = np.load(arguments.truth).astype(np.float64)

    def psnr(test: Image) -> float:
        return float(10 * np.log10(truth.max() ** 2 / np.mean((test - truth) ** 2)))

    start = time.perf_counter()
    image = np.load(arguments.image).astype(np.float64)
    best = best_bm3d(image, psnr, gain=arguments.gain, gaussian=arguments.gaussian)
    np.save(arguments.out, best.image.astype(np.float32))
    print(
        f"{best.score:.2f} dB with sigma {best.sigma:.4g}{' stabilised' * best.stabilised}, "
        f"{time.perf_counter() - start:.1f} s for the whole grid"
    )


if __name__ == "__main__":
    main()
