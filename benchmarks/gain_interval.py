"""Coverage of the gain interval: how often it contains the true gain, in 100 pairs.

``python -m benchmarks.gain_interval``; scenes of ``../shared/data`` are skipped if the data are
missing.  A linear filter takes the place of a trained network, so that hundreds of pairs are
affordable and the true gain is known.  The filter is the Wiener filter of the noise-free scene,
which passes at least a share `floor` of every frequency (like a network that removes less noise)
and blurs by `blur` pixels (like a network that loses detail).  A tenth of the image is held out, in
tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import fourier_gaussian, gaussian_filter
from skimage.io import imread

from benchmarks.scenes import Image, lattice, scattered
from benchmarks.shared_data import ROOT
from napari_lowdose.noise2noise.evaluation.gain_interval import (
    GainInterval,
    gain_interval,
    scene_spectrum,
)
from napari_lowdose.noise2noise.gain_matching import match_gain
from napari_lowdose.noise2noise.training_data import held_out_tiles
from napari_lowdose.pairs.noise_model import simulate_pair

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAIRS = 100
PADDING = 32  # pixels


@dataclass(frozen=True)
class Case:
    """A scene, its illumination and a filter.

    `photons` is the mean per pixel, and `read_noise` the standard deviation in photons.  With much
    read noise, the noise is white.
    """

    scene: Image
    photons: float
    read_noise: float = 0.0
    floor: float = 0.0
    blur: float = 0.0
    ratio: float = 0.5
    side: int = 32

    def transfer(self) -> NDArray[np.float64]:
        """Return the transfer function of the filter."""
        scene = np.pad(self.photons * self.scene / self.scene.mean(), PADDING, mode="symmetric")
        power = np.abs(np.fft.fft2(scene - scene.mean())) ** 2
        power = gaussian_filter(power, 0.7, mode="wrap")
        noise = (self.photons + self.read_noise**2) * scene.size
        passed = np.maximum(power / (power + noise), self.floor)
        passed[0, 0] = 1
        return fourier_gaussian(passed, self.blur).real if self.blur else passed


@dataclass(frozen=True)
class Estimate:
    """True gain of a pair, and its estimates with and without the spectrum of the scene, in dB."""

    true: float
    estimate: GainInterval
    full_band: GainInterval


def filtered(image: NDArray[np.float32], transfer: NDArray[np.float64]) -> NDArray[np.float64]:
    """Filter an image; it is mirrored at its border, because a Fourier filter is periodic."""
    padded = np.pad(image, PADDING, mode="symmetric")
    inner = slice(PADDING, -PADDING)
    half = transfer[:, : padded.shape[1] // 2 + 1]  # the image is real: the rest is its mirror
    return np.fft.irfft2(np.fft.rfft2(padded) * half, padded.shape)[inner, inner]


def one_pair(case: Case, transfer: NDArray[np.float64], seed: int, use: str) -> Estimate:
    """Simulate and filter a pair; return its true and estimated gain."""
    first, second = simulate_pair(
        case.scene,
        photons=case.photons,
        read_noise=case.read_noise,
        ratio=case.ratio,
        offset=100,
        seed=seed,
    )
    second = match_gain(first, second).to_first(second)
    r1, r2 = (filtered(image, transfer) for image in (first, second))
    truth = 2 * case.ratio * case.photons * case.scene / case.scene.mean() + 100
    result = (r1 + r2) / 2 if use == "both" else r1
    variance = ((first - truth) ** 2).mean() / 2 + ((second - truth) ** 2).mean() / 2
    true = 10 * np.log10(variance / ((result - truth) ** 2).mean())
    corners = held_out_tiles(first, second, case.side, seed=seed)
    tiles = [
        np.stack([image[y : y + case.side, x : x + case.side] for _, y, x in corners])
        for image in (r1, r2, first, second)
    ]
    spectrum = scene_spectrum(first, second, case.side)
    return Estimate(
        float(true),
        gain_interval(*tiles, spectrum, use=use),
        gain_interval(*tiles, use=use),
    )


def pairs(case: Case, n: int = PAIRS, use: str = "both") -> list[Estimate]:
    """Return the estimates for `n` pairs."""
    transfer = case.transfer()
    return [one_pair(case, transfer, seed, use) for seed in range(n)]


def errors(interval: GainInterval) -> tuple[float, float]:
    """Return the interval of the remaining error, in units of the noise variance."""
    return 10 ** (-interval.high / 10), 10 ** (-interval.low / 10)


def inside(estimates: list[Estimate], which: str = "estimate") -> int:
    """Count the pairs whose interval contains the true gain."""
    return sum(getattr(t, which).low <= t.true <= getattr(t, which).high for t in estimates)


def half_width(estimates: list[Estimate], which: str) -> float:
    """Return the median half width of the interval, in percent of the true error."""
    ends = [(errors(getattr(t, which)), 10 ** (-t.true / 10)) for t in estimates]
    return 100 * float(np.median([(high - low) / 2 / true for (low, high), true in ends]))


def excess(estimates: list[Estimate]) -> float:
    """Return the width of the interval relative to 2 x 1.96 standard deviations of the estimate."""
    known = [t for t in estimates if np.isfinite(t.estimate.high)]
    middle = [sum(errors(t.estimate)) / 2 - 10 ** (-t.true / 10) for t in known]
    width = np.median([np.subtract(*errors(t.estimate)[::-1]) for t in known])
    return float(width / (2 * 1.96 * np.sqrt(np.mean(np.square(middle)))))


def cases() -> dict[str, tuple[Case, str]]:
    """Return the rows of the table: gains of 6 to 25 dB, with white and Poisson noise."""
    crystal = 5 * lattice(2.5, 16, (512, 512), turn=0) + 1
    turned = 5 * lattice(2, 12, (512, 512)) + 1
    blobs = 5 * scattered(4, (512, 512)) + 1
    lines = {
        "lattice, 1 photon": (Case(crystal, 1, floor=0.05), "both"),
        "lattice, 10 photons": (Case(crystal, 10, floor=0.1), "both"),
        "lattice, white noise": (Case(crystal, 10, read_noise=10, floor=0.15), "both"),
        "turned lattice, 1 photon": (Case(turned, 1), "both"),
        "turned lattice, blurred": (Case(turned, 3, blur=1.5), "both"),
        "turned lattice, 60:40": (Case(turned, 3, ratio=0.6), "both"),
        "turned lattice, first only": (Case(turned, 3), "first"),
        "turned lattice, first only, 60:40": (Case(turned, 3, ratio=0.6), "first"),
        "blobs, 1 photon": (Case(blobs, 1), "both"),
        "blobs, 10 photons": (Case(blobs, 10, floor=0.3), "both"),
        "blobs, white noise": (Case(blobs, 10, read_noise=8), "both"),
        "blobs, hardly denoised": (Case(blobs, 3, floor=0.6), "both"),
        "blobs, first only": (Case(blobs, 3), "first"),
    }
    for name in ("sim_stem/ws2_defects.tif", "nuclei/dsb_01.png", "nuclei/dsb_14.png"):
        if (ROOT / name).exists():
            scene = imread(ROOT / name).astype(np.float64)
            for photons in (1, 10):
                label = f"{name.split('/')[1].split('.')[0]}, {photons} photons"
                lines[label] = (Case(scene + 0.02 * scene.max(), photons), "both")
    return lines


def main() -> None:
    """Print the table."""
    print("| scene | true gain, dB | inside, of 100 | example | ± % | full band | width / ideal |")
    print("|---|---|---|---|---|---|---|")
    for name, (case, use) in cases().items():
        estimates = pairs(case, use=use)
        print(
            f"| {name} | {np.mean([t.true for t in estimates]):.1f} | {inside(estimates)} "
            f"| {estimates[0].estimate} | {half_width(estimates, 'estimate'):.0f} "
            f"| {half_width(estimates, 'full_band'):.0f} | {excess(estimates):.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
