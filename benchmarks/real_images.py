"""Residuals of REUCID on real images: figures and a table.

``python -m benchmarks.real_images`` writes ``benchmarks/figures/<image>.png`` (not for the
repository) for every image of ``../shared/data/real_stem`` and the first frames of two movies.  A
figure shows the input, the result with "psf" patches, its residual, the result that keeps scan
noise, and the result with "auto" patches.  The panels of wide images are stacked vertically, those
of others horizontally.

The table lists the standard deviation of the residual (input minus result) in units of the image,
and three numbers that show, without a truth, whether the residual is noise:

rows
    Share of scan noise in the residual.  In white noise of variance s², the means of rows of n
    pixels have the variance s² / n.  The number is the share of the variance of the row means that
    exceeds this, from 0 (white, within 0.1) to 1 (scan noise only); s² is measured within rows.
    It should be lower with ``scan_noise="keep"`` than with "remove".
columns
    The same for column means, as a check.  Scan noise only shifts rows, so a large value means that
    structure or slow drift was removed, or that the noise is not white.
structure
    The extreme of the normalised cross-correlation of residual and result, of either sign, over all
    (periodic) shifts.  Near 0 the residual does not resemble the result.  Independent white noise
    reaches 0.01 at 512 x 512 pixels, about 5 / sqrt(pixels).  If noise remains in the result, it
    correlates slightly with the residual (positive, without a shift).  For larger values, look at
    the figure of the residual.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from skimage.io import imsave

from benchmarks.shared_data import ROOT, shared
from napari_lowdose import Reucid, StackStep, denoise_steps

FIGURES = Path(__file__).parent / "figures"
MOVIES = ("repeats/scmos_eb3_20x512x512", "repeats/stem_abf_5x512x256")
VARIANTS = {
    "psf": Reucid(patch_size="psf", n_stacks=1),
    "keep": Reucid(patch_size="psf", n_stacks=1, scan_noise="keep"),
    "auto": Reucid(patch_size="auto", n_stacks=1),
}


def images() -> dict[str, np.ndarray]:
    """Return the real images, and the first frame of each movie, as float32."""
    stems = [f"real_stem/{path.stem}" for path in sorted((ROOT / "real_stem").glob("*.tif"))]
    found = {stem: shared(f"{stem}.tif") for stem in stems}
    found |= {movie: shared(f"{movie}.tif")[0] for movie in MOVIES}
    return {Path(name).name: image.astype(np.float32) for name, image in found.items()}


def beyond_white(residual: np.ndarray, axis: int = 1) -> float:
    """Return the share of the variance of the means along `axis` beyond that of white noise."""
    means = residual.mean(axis=axis, dtype=np.float64)
    white = residual.var(axis=axis, ddof=1, dtype=np.float64).mean() / residual.shape[axis]
    return max(0.0, float(1 - white / means.var(ddof=1)))


def largest_correlation(residual: np.ndarray, clean: np.ndarray) -> float:
    """Return the extreme of the normalised cross-correlation over all shifts, with its sign."""
    standard = [(image - image.mean()) / image.std() for image in (residual, clean)]
    first, second = (np.fft.rfft2(image) for image in standard)
    correlation = np.fft.irfft2(first * second.conj(), residual.shape) / residual.size
    return float(correlation.flat[np.abs(correlation).argmax()])


def draw(name: str, image: np.ndarray, clean: dict[str, np.ndarray]) -> None:
    """Write the figure; the residual has its own contrast, the other panels that of the input."""
    residual = image - clean["psf"]
    limits = np.percentile(image, (0.5, 99.5))
    spread = 3 * residual.std()

    def grey(picture: np.ndarray, low: float, high: float) -> np.ndarray:
        return np.uint8(255 * np.clip((picture - low) / (high - low), 0, 1))

    pictures = [image, clean["psf"], residual, clean["keep"], clean["auto"]]
    panels = [grey(p, *(-spread, spread) if p is residual else limits) for p in pictures]
    wide = image.shape[1] > 2 * image.shape[0]
    imsave(FIGURES / f"{name}.png", (np.vstack if wide else np.hstack)(panels))


def main() -> None:
    FIGURES.mkdir(exist_ok=True)
    print(
        f"{'image':32s} {'REUCID':>6s} {'patch':>5s} {'kept':>8s} {'sd':>10s} "
        f"{'rows':>5s} {'columns':>7s} {'structure':>9s}"
    )
    for name, image in images().items():
        clean = {}
        for variant, engine in VARIANTS.items():
            last = list(denoise_steps(image, engine))[-1]
            assert isinstance(last, StackStep)
            clean[variant] = last.image
            residual = image - last.image
            print(
                f"{name:32s} {variant:>6s} {last.patch_size:5d} "
                f"{last.kept.sum():2d} of {len(last.kept):2d} {residual.std():10.4g} "
                f"{beyond_white(residual, 1):5.2f} {beyond_white(residual, 0):7.2f} "
                f"{largest_correlation(residual, last.image):+9.3f}",
                flush=True,
            )
        draw(name, image, clean)


if __name__ == "__main__":
    main()
