"""Views of a beamsplitter that are rotated and magnified against each other: map, and training.

    python -m benchmarks.affine_views [--epochs 60]

The second view of each scene is rotated by 0.5 degrees, magnified by 0.5 % and shifted.  Its layout
is measured on the same frame.  *Error* is the largest error of the affine map in the view, pixels.
PSNR is in dB, of the mean of both views after the same number of epochs, within 8 pixels of the
border: with the shift alone (*shift*), with the affine map (*affine*), and of a splitter without
rotation (*straight*).  data_range is the maximum of the truth.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np

from benchmarks.shared_data import shared
from napari_lowdose import Noise2Noise, denoise, split_frame
from napari_lowdose.samples.beamsplitter import EDGE, Beamsplitter

TURNED = Beamsplitter(rotation=0.5, magnification=1.005)
SCENES = {
    "nuclei": ("nuclei/dsb_22.png", 10.0),
    "cell": ("fluor_noisy_avg/fmd_confocal_BPAE_R_avg50.tif", 10.0),
    "WS2": ("sim_stem/ws2_defects.tif", 10.0),
    "Si": ("sim_stem/si_110.tif", 10.0),
}
SIDE = 368  # px, with the margin of the simulation
BORDER = 8  # px


def scene(name: str, photons: float) -> np.ndarray:
    """Return the expected photons of a square part."""
    image = shared(name).astype(np.float32)
    side = min(SIDE, *image.shape)
    return photons * image[:side, :side] / image[:side, :side].mean()


def map_error(layout, splitter: Beamsplitter, side: int) -> float:
    """Return the largest error of the measured map, pixels."""
    (y0, _, x0, _), (v0, _, u0, _) = splitter.regions((side, side))
    line = np.linspace(BORDER, side - BORDER, 9)
    points = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    found = layout.points(points + [y0, x0]) - [v0, u0]
    return float(np.abs(found - splitter.view_map((side, side)).points(points)).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=float, default=60)
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| scene | raw | corners (px) | error (px) | shift | affine | straight |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    inner = (slice(BORDER, -BORDER),) * 2
    for name, (file, photons) in SCENES.items():
        light = scene(file, photons)
        rows = []
        for seed in range(given.seeds):
            row: list[float] = []
            for splitter in (TURNED, Beamsplitter()):
                frame, truth = splitter.record(light, seed)
                first, second, layout = split_frame(frame)
                true = layout.split(truth)[0] - splitter.offset

                def psnr(image, true=true, offset=splitter.offset):
                    error = np.mean((image - offset - true)[inner] ** 2)
                    return 10 * np.log10(true.max() ** 2 / error)

                ways = {"shift": {"shift": layout.fraction}}
                if splitter is TURNED:
                    error = map_error(layout, splitter, light.shape[0] - 2 * EDGE)
                    row += [psnr(first), layout.distortion.at_corners, error]
                    ways["affine"] = {"affine": layout.affine}
                for way in ways.values():
                    engine = Noise2Noise(preset="fast", epochs=given.epochs, seed=seed, **way)
                    model = engine.train(first, second)
                    row.append(psnr(denoise((first, second), model)))
            rows.append(row)
        print(f"| {name} | {' | '.join(f'{each:.2f}' for each in np.mean(rows, 0))} |", flush=True)


if __name__ == "__main__":
    main()
