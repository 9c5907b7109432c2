"""Accuracy of the registration of two views, and of finding two views in one camera frame.

``python -m benchmarks.registration [--draws 12] [--layouts 100]`` prints Markdown tables: the error
of the shift relative to the Cramer-Rao bound at four light levels, 100 random layouts of a split
frame, 100 frames whose halves show different scenes, and real frames.  Scenes are shifted by their
Fourier transform before noise is added, so that subpixel shifts are exact.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import fourier_shift, gaussian_filter
from scipy.signal.windows import tukey
from skimage.io import imread
from skimage.registration import phase_cross_correlation

from benchmarks.shared_data import ROOT, shared
from napari_lowdose.pairs.register import register_pair
from napari_lowdose.pairs.split import split_frame
from napari_lowdose.pairs.subpixel_shift import shift_bound

if TYPE_CHECKING:
    from napari_lowdose.pairs.split_layout import SplitLayout

EDGE = 40  # px of scene around a view, which a shift moves into it
SIDE = 256  # px
GAIN = 2 / 3  # 60:40
OFFSET = 20.0
WRONG_PEAK = 1.5  # px: an error this large is another peak, not noise
KINDS = {
    "nuclei": [f"nuclei/dsb_{number:02d}.png" for number in (1, 7, 9, 14, 18, 20)],
    "cells": [
        *(f"fluor_noisy_avg/fmd_confocal_BPAE_{colour}_avg50.tif" for colour in "RG"),
        "fluor_noisy_avg/w2s_090_0_avg400.tif",
    ],
    "blurred cell": ["fluor_noisy_avg/w2s_102_2_avg400.tif"],
    "WS2, 26 defects": ["sim_stem/ws2_defects.tif"],
    "Si, no defect": ["sim_stem/si_110.tif"],
}


def scene(name: str) -> np.ndarray:
    """Return a noise-free scene that can be shifted: band-limited, constant at the rim, mean 1."""
    path = ROOT / name
    image = (imread(path) if path.suffix == ".png" else shared(name)).astype(float)
    rim = np.outer(*(tukey(side, 48 / side) for side in image.shape))
    smooth = gaussian_filter((image - image.mean()) * rim, 0.7) + image.mean()
    return np.maximum(smooth, 0) / image.mean()


def moved(image: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return the image shifted exactly by (dy, dx) pixels, periodic at the rim."""
    return np.maximum(np.fft.ifft2(fourier_shift(np.fft.fft2(image), shift)).real, 0)


@dataclass
class Draw:
    """Two noisy views of a scene, their shift and its Cramer-Rao bound."""

    first: np.ndarray
    second: np.ndarray
    shift: np.ndarray
    bound: tuple[float, float]


def draw(image: np.ndarray, photons: float, rng: np.random.Generator, reach: float = 12) -> Draw:
    """Return two views of a random part of a scene, split 60:40, with `photons` per pixel."""
    shift = rng.uniform(-reach - 0.5, reach + 0.5, 2)
    y, x = rng.integers(EDGE, np.array(image.shape) - SIDE - EDGE + 1)
    part = np.s_[y : y + SIDE, x : x + SIDE]
    level = 2 * photons / (1 + GAIN) / image[part].mean()
    one, other = level * image[part], GAIN * level * moved(image, shift)[part]
    return Draw(
        first=rng.poisson(one).astype(np.float32),
        second=rng.poisson(other).astype(np.float32) + OFFSET,
        shift=shift,
        bound=shift_bound(one, one, one / GAIN),
    )


def rms(values: list) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if values else float("nan")


def accuracy(draws: int, levels: list[float]) -> None:
    print(
        "| scene | photons | RMS error (px) | bound (px) | RMS error / bound | error / claimed "
        "| wrong peak | correlation alone (px) |\n|---|--:|--:|--:|--:|--:|--:|--:|"
    )
    for kind, names in KINDS.items():
        scenes = [scene(name) for name in names]
        for photons in levels:
            rng = np.random.default_rng([len(kind), int(photons)])
            errors, bounds, relative, claimed, plain, wrong = [], [], [], [], [], 0
            for number in range(draws):
                case = draw(scenes[number % len(scenes)], photons, rng)
                try:
                    found = register_pair(case.first, case.second)[2]
                except ValueError:
                    wrong += 1
                    continue
                error = np.array(found.shift) - case.shift
                if np.abs(error).max() > WRONG_PEAK:
                    wrong += 1
                    continue
                errors.append(error)
                bounds.append(case.bound)
                relative.append(error / case.bound)
                claimed.append(error / found.shift_error)
                plain.append(correlation_alone(case) - case.shift)
            print(
                f"| {kind} | {photons:g} | {rms(errors):.3f} | {rms(bounds):.3f} "
                f"| {rms(relative):.2f} | {rms(claimed):.2f} | {wrong} of {draws} "
                f"| {np.median(np.abs(plain)) / 0.6745:.3f} |",
                flush=True,
            )


def correlation_alone(case: Draw) -> np.ndarray:
    """Return the shift by scikit-image's upsampled cross-correlation of Hann-windowed views."""
    window = np.outer(np.hanning(SIDE), np.hanning(SIDE))
    views = [(view - view.mean()) * window for view in (case.first, case.second)]
    return -phase_cross_correlation(*views, upsample_factor=100, normalization=None)[0]


def structured(image: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return the corner of a random part of an image, but not of an empty part."""
    while True:
        y, x = rng.integers(EDGE, np.array(image.shape) - size - EDGE)
        part = image[y : y + size[0], x : x + size[1]]
        if part.std() > 0.3 * part.mean():
            return np.array([y, x])


def random_frame(
    images: list[np.ndarray], photons: float, rng: np.random.Generator, *, same: bool = True
) -> tuple[np.ndarray, dict]:
    """Return a camera frame with two views at random positions, and the positions."""
    one = int(rng.integers(len(images)))
    other = one if same else int((one + rng.integers(1, len(images))) % len(images))
    height, width = rng.integers(112, 209, 2)
    gap = int(rng.choice([0, 0, *range(2, 41)]))
    margins = rng.integers(0, 21, 4) * (rng.random() < 0.5)
    shift = rng.uniform(-6, 6, 2)
    share = rng.uniform(0.5, 0.7)
    mirrored = rng.choice(["", "x", "y"], p=[0.5, 0.25, 0.25])
    parts = []
    for image, by in ((images[one], np.zeros(2)), (images[other], shift)):
        y, x = parts[0][1] if parts and same else structured(image, (height, width), rng)
        parts.append((moved(image, by)[y : y + height, x : x + width], (y, x)))
    # Some light everywhere, as in any microscope: otherwise a dark scene has no visible rim
    first, second = (0.9 * part + 0.1 * part.mean() for part, _ in parts)
    first, second = 2 * photons * share * first, 2 * photons * (1 - share) * second
    if mirrored:
        second = second[:, ::-1] if mirrored == "x" else second[::-1]
    above = rng.random() < 0.5
    top, bottom, left, right = margins
    axis = 0 if above else 1
    between = np.zeros((gap, width) if above else (height, gap))
    light = np.pad(np.concatenate([first, between, second], axis), ((top, bottom), (left, right)))
    frame = rng.poisson(light) + rng.normal(100, 1.5, light.shape)
    far = np.array([height + gap, 0] if above else [0, width + gap])
    corners = [np.array([top, left]), np.array([top, left]) + far]
    return frame.astype(np.float32), {
        "axis": "above" if above else "side by side",
        "mirrored": str(mirrored) or None,
        "shift": shift,
        "views": [(y, y + height, x, x + width) for y, x in corners],
        "gap": gap,
    }


def is_right(layout: SplitLayout, truth: dict) -> list[str]:
    """Return the errors in a layout by name; empty if it is right."""
    wrong = []
    if layout.axis != truth["axis"]:
        return ["axis"]
    if layout.mirrored != truth["mirrored"]:
        return ["mirrored"]
    # Both regions must show the same part of the scene, within half a pixel
    (y0, y1, x0, x1), (v0, v1, u0, u1) = truth["views"]
    corners = []
    for (a0, a1, b0, b1), (c0, c1, d0, d1), reverse in (
        (layout.regions[0], (y0, y1, x0, x1), None),
        (layout.regions[1], (v0, v1, u0, u1), layout.mirrored),
    ):
        y = c1 - a1 if reverse == "y" else a0 - c0
        x = d1 - b1 if reverse == "x" else b0 - d0
        corners.append(np.array([y, x]))
        inside = a0 >= c0 - 1 and a1 <= c1 + 1 and b0 >= d0 - 1 and b1 <= d1 + 1
        size = (a1 - a0) * (b1 - b0)
        most = np.prod([c1 - c0, d1 - d0] - np.ceil(np.abs(truth["shift"])))
        wrong += [] if inside else ["out of the view"]
        wrong += [] if size >= 0.95 * most else ["too small"]
    error = corners[1] - corners[0] + layout.fraction - truth["shift"]
    return wrong + (["shift"] if np.abs(error).max() > 0.5 else [])


def layouts(number: int, photons: float) -> None:
    images = {
        "nuclei": [scene(name) for name in KINDS["nuclei"]],
        "cells": [scene(name) for name in KINDS["cells"]],
        "WS2": [scene(name) for name in KINDS["WS2, 26 defects"]],
    }
    print("\n| scene | layouts | right | wrong | RMS error of the shift (px) |")
    print("|---|--:|--:|---|--:|")
    shares = {"nuclei": number - 2 * (number // 3), "cells": number // 3, "WS2": number // 3}
    for kind, share in shares.items():
        rng = np.random.default_rng(len(kind))
        right, faults, errors = 0, [], []
        for case in range(share):
            frame, truth = random_frame(images[kind], photons, rng)
            try:
                layout = split_frame(frame)[2]
                found = is_right(layout, truth)
            except ValueError as error:
                found = [f"refused ({str(error).split(' have ')[-1][:30]})"]
            right += not found
            faults += [f"{case}: {', '.join(found)} (gap {truth['gap']})"] if found else []
            if not found:
                errors.append(layout_error(layout, truth))
        print(
            f"| {kind} | {share} | {right} | {'; '.join(faults)} | {rms(errors):.3f} |", flush=True
        )


def layout_error(layout: SplitLayout, truth: dict) -> np.ndarray:
    """Return the error of the shift modulo one pixel, the error of the subpixel part."""
    error = np.array(layout.fraction) - truth["shift"]
    return error - np.rint(error)


def refusals(number: int, photons: float) -> None:
    images = [scene(name) for kind in ("nuclei", "cells") for name in KINDS[kind]]
    images += [scene(KINDS[kind][0]) for kind in ("WS2, 26 defects", "Si, no defect")]
    rng = np.random.default_rng(0)
    refused, likest = 0, []
    for _ in range(number):
        frame, _ = random_frame(images, photons, rng, same=False)
        try:
            likest.append(split_frame(frame)[2].noise_corrected_correlation)
        except ValueError:
            refused += 1
    print(f"\nHalves with different scenes: {refused} of {number} refused. {likest or ''}")


def real() -> None:
    frames = shared("repeats/stem_abf_5x512x256.tif")
    print(
        "\n| `stem_abf`, frame | shift (px) | ± | correlation | noise-corrected |\n"
        "|--:|---|---|--:|--:|"
    )
    for number in range(1, len(frames)):
        found = register_pair(frames[0], frames[number])[2]
        dy, dx = found.shift
        print(
            f"| {number} | {dy:.2f}, {dx:.2f} | {found.shift_error[0]:.2f}, "
            f"{found.shift_error[1]:.2f} | {found.correlation:.2f} "
            f"| {found.noise_corrected_correlation:.2f} |"
        )
    print("\n`smfret_3view`, all frames: ", end="")
    try:
        print(split_frame(shared("dualview/smfret_3view_20x256x256.tif"))[2])
    except ValueError as error:
        print(error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=12)
    parser.add_argument("--levels", type=float, nargs="+", default=[100, 10, 3, 1])
    parser.add_argument("--layouts", type=int, default=100)
    parser.add_argument(
        "--photons", type=float, default=100, help="photons per pixel in the layouts"
    )
    parser.add_argument("--parts", nargs="+", default=["real", "layouts", "refusals", "accuracy"])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # a view at the edge of the illumination may look distorted
    if "real" in arguments.parts:
        real()
    if "layouts" in arguments.parts:
        layouts(arguments.layouts, arguments.photons)
    if "refusals" in arguments.parts:
        refusals(arguments.layouts, arguments.photons)
    if "accuracy" in arguments.parts:
        accuracy(arguments.draws, arguments.levels)


if __name__ == "__main__":
    main()
