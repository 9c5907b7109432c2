"""Fig. 10 of the pair paper: a real STEM pair with drift (five ABF scans of an oxide).

    python -m benchmarks.papers.fig10 [--epochs 200] [--figure DIR]

Two networks are trained on different scans: A on 0 and 1, B on 3 and 4.  The scans are registered,
and the subpixel shift is applied inside the loss.  Two registered images of the specimen are
compared:

before
    Scan 2 with scan 3, as recorded.
after
    The output of A for scan 2 with the output of B for scan 3.  The two have no scan and no network
    in common, but the same method: detail that both networks lose is not noticed.
against the raw
    The output of A for scan 2 with scan 3 as recorded, to show that detail in the output is in the
    specimen.

The resolution is measured without a truth in two ways.  `spots in both` counts lattice spots (power
above 12 times the local mean) that both images have at the same place and with the same phase
(within 60°), and gives the finest of them.  `FRC` is the frequency at which the Fourier ring
correlation first drops below 1/7, outwards from the ring with the highest correlation (the rings of
a crystal inside it are empty).

The lattice reappears at a vertical frequency of 1.9 / Å, because the rows of these scans are
displaced periodically.  This is an effect of the scan, not of the specimen, so spots beyond 1.4 / Å
are not counted.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter

from benchmarks.papers.experiment import (
    arguments,
    header,
    lattice_spots,
    panel,
    quietly,
    row,
    save,
    spectrum,
    spectrum_panel,
    subplots,
)
from benchmarks.shared_data import shared
from napari_lowdose import Noise2Noise, denoise, metrics, register_pair

PIXEL = 0.092024  # angstrom
FINEST = 1.4  # 1/angstrom


def network(scans: np.ndarray, one: int, other: int, epochs: float):
    first, second, found = register_pair(scans[one], scans[other])
    engine = Noise2Noise(preset="fast", epochs=epochs, shift=found.fraction)
    return engine.train(first, second), found


def aligned(images: dict[str, np.ndarray], registration) -> dict[str, tuple]:
    """Crop to the common field; for the FRC, apply the subpixel shift in Fourier space."""
    found = {}
    for name, (one, other) in images.items():
        first, second = registration.cut(one, other)
        dy, dx = registration.fraction
        turns = np.fft.fftfreq(first.shape[0])[:, None] * dy + np.fft.fftfreq(first.shape[1]) * dx
        back = np.fft.ifft2(np.fft.fft2(second) * np.exp(2j * np.pi * turns)).real
        found[name] = (first, back)
    return found


def common_spots(one: np.ndarray, other: np.ndarray) -> tuple[int, float]:
    """Return the number of common spots, within one bin, and the spacing of the finest, Å."""
    spot = lattice_spots(one)[0] & maximum_filter(lattice_spots(other)[0], size=3)
    axes = (np.fft.fftshift(np.fft.fftfreq(side, PIXEL)) for side in one.shape)
    frequency = np.hypot(*np.meshgrid(*axes, indexing="ij"))
    turned = np.angle(spectrum(one) * spectrum(other).conj(), deg=True)
    spot &= (np.abs(turned) < 60) & (frequency < FINEST)
    return int(spot.sum()) // 2, float(1 / frequency[spot].max())


def resolution(curve: metrics.FourierRingCorrelation) -> float:
    """Return the resolution in Å: the correlation drops below 1/7, outwards from its maximum."""
    best = int(curve.correlation.argmax())
    below = np.flatnonzero(curve.correlation[best:] < 1 / 7)
    return PIXEL / float(curve.frequencies[best + below[0]])


def main() -> None:
    given = arguments(__doc__, epochs=200).parse_args()
    quietly()
    scans = shared("repeats/stem_abf_5x512x256.tif").astype(np.float32)
    a, drift = network(scans, 0, 1, given.epochs)
    b, _ = network(scans, 3, 4, given.epochs)
    outputs = denoise(scans[2], a), denoise(scans[3], b)
    _, _, between = register_pair(scans[2], scans[3])
    pairs = aligned(
        {
            "before": (scans[2], scans[3]),
            "after": outputs,
            "against the raw": (outputs[0], scans[3]),
        },
        between,
    )
    header("", "resolution Å, paper (other specimen)", "spots in both", "finest, Å",
           "FRC, Å")  # fmt: skip
    paper = {"before": 0.137, "after": 0.092}
    curves = {}
    for name, (one, other) in pairs.items():
        curves[name] = metrics.frc(one, other)
        number, finest = common_spots(one, other)
        row(name, paper.get(name, "-"), number, f"{finest:.2f}", f"{resolution(curves[name]):.2f}")
    print(f"\nscans 0 and 1: drift {drift.shift[0]:.2f}, {drift.shift[1]:.2f} px "
          f"(± {max(drift.shift_error):.2f}); correlation of scan 2 with scan 3: raw "
          f"{np.corrcoef(*(each.ravel() for each in pairs['before']))[0, 1]:.2f}, outputs "
          f"{np.corrcoef(*(each.ravel() for each in pairs['after']))[0, 1]:.2f}")  # fmt: skip
    if given.figure:
        figure, axes = subplots(2, 3)
        limits = tuple(np.percentile(outputs[0], (0.1, 99.9)))
        for column, (name, image) in enumerate(
            {"scan 2": scans[2], "A's output": outputs[0]}.items()
        ):
            panel(axes[0, column], image[:256], name, limits)
            spectrum_panel(axes[1, column], image, f"Fourier transform, {name}", share=0.5)
        panel(axes[0, 2], (scans[2] - outputs[0])[:256], "scan 2 less A's output")
        for name, curve in curves.items():
            axes[1, 2].plot(curve.frequencies / PIXEL, curve.correlation, lw=0.9, label=name)
        axes[1, 2].axhline(1 / 7, color="k", lw=0.5)
        axes[1, 2].set(xlabel="1/Å", title="Fourier ring correlation", xlim=(0, 2.5))
        axes[1, 2].legend(fontsize=7)
        save(figure, given.figure, "fig10")


if __name__ == "__main__":
    main()
