"""Fig. 7 of the REUCID paper: a real micrograph, the residual, and a profile across the peaks.

    python -m benchmarks.papers.reucid_fig7 [--figure DIR]

The micrograph of the paper (copper on black phosphorus) is not published with it.  MoS2 with
selenium, SrTiO3 and ABF scans of an oxide are used instead.  The width of the Gaussian filter is
chosen such that its residual is as large as REUCID's, so that both remove the same amount.
`peaks` is the remaining contrast of the lattice: the amplitude of the outer half of the lattice
spots (power above 12 times the local mean in the Fourier transform of the noisy image) relative to
the noisy image, after subtraction of the noise.  1 is ideal, less means blur.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.optimize import brentq

from benchmarks.papers.experiment import (
    arguments,
    header,
    lattice_spots,
    panel,
    row,
    save,
    spectrum,
    subplots,
)
from benchmarks.shared_data import shared
from napari_lowdose import Reucid, denoise

IMAGES = (
    "real_stem/mos2_se_haadf_512",
    "real_stem/sto_haadf_512",
    "repeats/stem_abf_5x512x256",
)


def outer_spots(image: np.ndarray):
    """Return the outer half of the lattice spots as a boolean array, and the power of the noise."""
    spot, around = lattice_spots(image)
    axes = (np.fft.fftshift(np.fft.fftfreq(side)) for side in image.shape)
    radius = np.hypot(*np.meshgrid(*axes, indexing="ij"))
    return spot & (radius > np.median(radius[spot])), around


def main() -> None:
    given = arguments(__doc__).parse_args()
    header("image", "removed (sd of the residual / of the image)", "sigma of Gaussian px",
           "outer spots", "peaks, REUCID", "peaks, Gaussian")  # fmt: skip
    shown = []
    for name in IMAGES:
        image = shared(f"{name}.tif").astype(np.float32)
        image = image if image.ndim == 2 else image[0]
        clean = denoise(image, Reucid(patch_size="psf"))
        taken = float(np.std(image - clean))
        sigma = brentq(lambda s, i=image, t=taken: np.std(i - gaussian_filter(i, s)) - t, 0.2, 20)
        smooth = gaussian_filter(image, sigma)
        spot, noise = outer_spots(image)
        true = np.sum(np.abs(spectrum(image)[spot]) ** 2 - noise[spot])
        left = [
            np.sum((spectrum(each) * spectrum(image).conj()).real[spot]) / true
            for each in (clean, smooth)
        ]
        row(name.split("/")[1], f"{taken / image.std():.2f}", f"{sigma:.2f}", int(spot.sum()) // 2,
            *(f"{each:.2f}" for each in left))  # fmt: skip
        shown.append((name.split("/")[1], image, clean, smooth))
    if given.figure:
        draw(shown, given.figure)


def draw(shown: list, directory) -> None:
    figure, axes = subplots(len(shown), 4)
    for axis, (name, image, clean, smooth) in zip(axes, shown, strict=True):
        part = (slice(64, 192),) * 2
        limits = tuple(np.percentile(image, (1, 99)))
        panel(axis[0], image[part], name, limits)
        panel(axis[1], clean[part], "REUCID, psf", limits)
        panel(axis[2], (image - clean)[part], "residual")
        line = 64 + int(clean[part].max(axis=1).argmax())
        axis[1].axhline(line - 64, color="tab:orange", lw=0.6)
        for each, style, label in ((image, "0.8", "noisy"), (smooth, "tab:orange", "Gaussian"),
                                   (clean, "tab:blue", "REUCID")):  # fmt: skip
            axis[3].plot(each[line, part[1]], style, lw=0.9, label=label)
        axis[3].legend(fontsize=7)
    save(figure, directory, "reucid_fig7")


if __name__ == "__main__":
    main()
