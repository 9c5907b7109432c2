"""Denoise a raw beamsplitter movie: split it, train on a few frames, denoise every frame.

Usage: python examples/split_script.py [EPOCHS]
"""

import sys

import numpy as np

from napari_lowdose import Noise2Noise, denoise, metrics, split_frame
from napari_lowdose.samples import beamsplitter_movie

epochs = float(sys.argv[1]) if len(sys.argv) > 1 else 40
movie, truth = beamsplitter_movie()  # (48, 216, 432): both views on one sensor

# Find both views and the subpixel shift between them, using all frames
first, second, layout = split_frame(movie)
(dy, dx), (error_y, error_x) = layout.shift, layout.shift_error
print(f"views {layout.axis}, shift {dy:.2f} ± {error_y:.2f}, {dx:.2f} ± {error_x:.2f} px")

# The loss shifts the network's output by the subpixel part.  Noisy pixels are never interpolated,
# as that would correlate their noise.
engine = Noise2Noise(epochs=epochs, every=12, shift=layout.fraction)
model = engine.train(first, second)
clean = denoise((first, second), model)

true, _ = layout.split(truth)
for name, image in (("raw", first), ("clean", clean)):
    # The camera and the truth have different units: fit a gain and an offset before comparing
    slope, intercept = np.polyfit(np.ravel(image).astype(float), true.ravel(), 1)
    psnr = metrics.psnr(true, slope * image + intercept, data_range=float(np.ptp(true)))
    print(f"{name}: PSNR {psnr:.1f} dB")
