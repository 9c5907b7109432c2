"""Duration of an epoch, and of applying a network.

python -m benchmarks.noise2noise_speed
"""

from __future__ import annotations

import dataclasses
import time

import numpy as np

from napari_lowdose import Noise2Noise, denoise
from napari_lowdose.noise2noise import device


def main() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:512, :512]
    first, second = rng.poisson(50 + 20 * np.sin(x / 5) * np.sin(y / 4), (2, 512, 512))
    print("| operation | seconds |")
    print("|---|---|")
    models = {}
    for preset, epochs in (("fast", 40), ("paper", 3)):
        models[preset] = Noise2Noise(preset=preset, epochs=1).train(first, second)  # and imports
        seconds = []
        for n in (1, 1 + epochs):
            begun = time.perf_counter()
            Noise2Noise(preset=preset, epochs=n).train(first, second)
            seconds.append(time.perf_counter() - begun)
        each = (seconds[1] - seconds[0]) / epochs
        print(f"| {preset}: an epoch on 512 x 512 | {each:.2f} |", flush=True)
    native = device.low_precision
    for precision, choose in (("as chosen", native), ("float32", lambda device: None)):
        device.low_precision = choose
        for preset, model in models.items():
            once = dataclasses.replace(model, orientations=1)
            for shape in ((20, 512, 512), (2048, 2048)):
                movie = rng.poisson(50, shape if preset == "fast" else (2, *shape[-2:]))
                denoise(movie[..., :64, :64], once)
                begun = time.perf_counter()
                denoise(movie, once)
                each = (time.perf_counter() - begun) / (len(movie) if movie.ndim == 3 else 1)
                size = " x ".join(map(str, shape[-2:]))
                print(f"| {preset}: applied to {size}, {precision} | {each:.3f} |", flush=True)
    device.low_precision = native


if __name__ == "__main__":
    main()
