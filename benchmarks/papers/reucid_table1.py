"""Table 1 and Fig. 5 of the REUCID paper: Si [110] at several doses.

    python -m benchmarks.papers.reucid_table1 [--draws 5] [--figure DIR]

Simulated Si [110] of 256 x 256 pixels with Poisson noise of the electrons and Gaussian noise of 5 %
of the maximum.  The paper gives no pixel size, and so no number of electrons per pixel.  Therefore
two pixel sizes are used: 0.12 Å, as simulated, and 0.24 Å, with four pixels in one and 4 times the
electrons.  `patch_size="psf"` is the method of the paper, "auto" the default here.  The data_range
of PSNR, SSIM and IEF is the maximum of the truth.  `flat` is the PSNR of a constant image with the
mean of the truth; a lower PSNR shows nothing of the specimen.
"""

from __future__ import annotations

import numpy as np

from benchmarks.papers.experiment import arguments, header, panel, row, save, subplots
from benchmarks.shared_data import shared
from napari_lowdose import Reucid, denoise, metrics

PAPER = {100: 23.23, 500: None, 1000: None, 10_000: 26.09}  # dB, the values in its text
MORE = (100_000, 1_000_000)  # e/Å²: doses at which this simulation reaches the PSNR of the paper
PIXEL = 0.12  # Å
READOUT = 0.05


def specimen(pixel: float) -> np.ndarray:
    """Return the fraction of the beam that reaches the detector."""
    image = shared("sim_stem/si_110.tif").astype(np.float64)
    by = round(pixel / PIXEL)
    blocks = image.reshape(512 // by, by, 512 // by, by).mean(axis=(1, 3))
    return blocks[:256, :256]


def recorded(share: np.ndarray, dose: float, pixel: float, seed: int):
    """Return the noisy image and the truth, in electrons per pixel."""
    truth = share * dose * pixel**2
    rng = np.random.default_rng(seed)
    readout = READOUT * truth.max() * rng.standard_normal(truth.shape)
    return (rng.poisson(truth) + readout).astype(np.float32), truth


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--draws", type=int, default=5)
    given = parser.parse_args()
    header("pixel Å", "dose e/Å²", "electrons in the brightest pixel", "flat dB", "input dB",
           "output dB, paper", "psf", "auto", "SSIM input", "psf", "auto", "IEF psf",
           "auto")  # fmt: skip
    for pixel in (PIXEL, 2 * PIXEL):
        share = specimen(pixel)
        shown = {}
        for dose in (*PAPER, *MORE):
            found = []
            for seed in range(given.draws):
                noisy, truth = recorded(share, dose, pixel, seed)
                top = float(truth.max())
                clean = [denoise(noisy, Reucid(patch_size=size)) for size in ("psf", "auto")]
                images = [np.full_like(truth, truth.mean()), noisy, *clean]
                found.append(
                    [metrics.psnr(truth, image, data_range=top) for image in images]
                    + [metrics.ssim(truth, image, data_range=top) for image in images[1:]]
                    + [metrics.ief(truth, noisy, image) for image in clean]
                )
            flat, noisy_db, psf, auto, *rest = np.mean(found, axis=0)
            row(pixel, dose, f"{top:.3g}", f"{flat:.2f}", f"{noisy_db:.2f}",
                PAPER.get(dose) or "-", f"{psf:.2f}", f"{auto:.2f}",
                *(f"{each:.2f}" for each in rest[:3]),
                *(f"{each:.0f}" for each in rest[3:]))  # fmt: skip
            shown[dose] = (noisy, truth, clean[0])
        if given.figure:
            draw(shown, given.figure, f"reucid_fig5_{pixel}")


def draw(shown: dict, directory, name: str) -> None:
    figure, axes = subplots(4, len(shown))
    for column, (dose, (noisy, truth, clean)) in zip(axes.T, shown.items(), strict=True):
        part = (slice(0, 128),) * 2
        clipped = (0, float(np.percentile(noisy, 99.5)))  # hot pixels clipped, as in the paper
        panel(column[0], noisy[part], f"{dose:g} e/Å²", clipped)
        panel(column[1], clean[part], "REUCID, psf")
        panel(column[2], (noisy - clean)[part], "residual")
        panel(column[3], truth[part], "truth")
    save(figure, directory, name)


if __name__ == "__main__":
    main()
