"""The noisy pairs for the Noise2Noise benchmarks, and their scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.shared_data import shared
from napari_lowdose import metrics, simulate_pair

READOUT = 0.05  # standard deviation of the Gaussian noise, relative to the maximum


@dataclass(frozen=True)
class NoisyPair:
    """Two exposures, and `psnr(image)` in dB relative to the truth or the best reference."""

    name: str
    first: np.ndarray
    second: np.ndarray
    psnr: Callable[[np.ndarray], float]
    truth: np.ndarray


def stem_pair(name: str, psnr_db: float = 15.94, seed: int = 0) -> NoisyPair:
    """Return a simulated specimen with maximum 1 and Poisson and Gaussian noise."""
    truth = shared(f"sim_stem/{name}.tif").astype(np.float64)
    truth /= truth.max()
    peak = truth.mean() / (10 ** (-psnr_db / 10) - READOUT**2)  # electrons at the maximum
    rng = np.random.default_rng(seed)
    first, second = (
        (rng.poisson(truth * peak) / peak + READOUT * rng.standard_normal(truth.shape)).astype(
            np.float32
        )
        for _ in range(2)
    )
    return against_truth(name, first, second, truth)


def nuclei_pair(
    number: int, maximum: float, psnr_db: float | None = None, seed: int = 0
) -> NoisyPair:
    """Return a pair of nuclei as in section 3.1 of the paper; `maximum` is its lambda_max.

    The Gaussian variance is 0.1 x maximum.  With `psnr_db`, all noise is scaled such that the
    input has that PSNR.
    """
    image = shared(f"nuclei/dsb_{number:02}.png").astype(np.float64)
    truth = image / image.max() * maximum
    first, second = simulate_pair(
        truth, maximum=maximum, gaussian_variance=0.1 * maximum, seed=seed
    )
    if psnr_db is not None:
        noise = np.mean((first - truth) ** 2)
        scale = np.sqrt(maximum**2 * 10 ** (-psnr_db / 10) / noise)
        first, second = (truth + scale * (each - truth) for each in (first, second))
    return against_truth(
        f"dsb_{number:02}", first.astype(np.float32), second.astype(np.float32), truth
    )


def eb3_pair(low_pass: float | None = None) -> NoisyPair:
    """Return two of 20 real sCMOS frames, with the mean of the other 18 as reference.

    The noise variance of that mean is subtracted from the squared error.  The fixed pattern of the
    sensor is in all frames.  With `low_pass`, only frequencies below that limit, in cycles per
    pixel, are compared.
    """
    frames = shared("repeats/scmos_eb3_20x512x512.tif").astype(np.float64)
    keep = _disc(frames.shape[-2:], low_pass)
    reference = _filtered(frames[2:].mean(axis=0), keep)
    rest = np.mean([np.var(_filtered(frame, keep) - reference) for frame in frames[2:]])
    # Variance of the mean of 18 frames; rest is 17/18 of the variance of a frame
    noise = rest / 17
    data_range = float(np.ptp(frames[2:].mean(axis=0)))

    def psnr(image: np.ndarray) -> float:
        error = np.mean((_filtered(np.asarray(image, float), keep) - reference) ** 2) - noise
        return float(10 * np.log10(data_range**2 / error))

    first, second = frames[:2].astype(np.float32)
    return NoisyPair("scmos_eb3", first, second, psnr, reference)


def against_truth(name: str, first: np.ndarray, second: np.ndarray, truth: np.ndarray) -> NoisyPair:
    top = float(truth.max())

    def psnr(image: np.ndarray) -> float:
        return metrics.psnr(truth, image, data_range=top)

    return NoisyPair(name, first, second, psnr, truth)


def best_gain(pair: NoisyPair, image: np.ndarray) -> float:
    """Return the PSNR after fitting gain and offset to the truth."""
    slope, intercept = np.polyfit(image.ravel().astype(float), pair.truth.ravel(), 1)
    return pair.psnr(slope * image + intercept)


def _disc(shape: tuple[int, int], limit: float | None) -> np.ndarray | None:
    if limit is None:
        return None
    return np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])) < limit


def _filtered(image: np.ndarray, keep: np.ndarray | None) -> np.ndarray:
    if keep is None:
        return image
    return np.fft.irfft2(np.fft.rfft2(image) * keep, image.shape)
