"""From a raw beamsplitter movie to a clean one: split, train on a few frames, denoise them all.

Run it with: python examples/split_script.py [EPOCHS]
"""

import sys

import numpy as np

from napari_lowdose import Noise2Noise, denoise, metrics, split_frame
from napari_lowdose.samples import beamsplitter_movie

epochs = float(sys.argv[1]) if len(sys.argv) > 1 else 40
movie, truth = beamsplitter_movie()  # (48, 216, 432): both views on one sensor

# Where the views lie, and by what fraction of a pixel they differ, all frames together
first, second, layout = split_frame(movie)
(dy, dx), (error_y, error_x) = layout.shift, layout.shift_error
print(f"views {layout.axis}, shift {dy:.2f} ± {error_y:.2f}, {dx:.2f} ± {error_x:.2f} px")

# The fraction is put on the network's output inside the loss: no noisy pixel is interpolated
engine = Noise2Noise(epochs=epochs, every=12, shift=layout.fraction)
model = engine.train(first, second)
clean = denoise((first, second), model)

true, _ = layout.split(truth)
for name, image in (("raw", first), ("clean", clean)):
    # The camera counts in other units than the truth: compare after a gain and an offset
    slope, intercept = np.polyfit(np.ravel(image).astype(float), true.ravel(), 1)
    psnr = metrics.psnr(true, slope * image + intercept, data_range=float(np.ptp(true)))
    print(f"{name}: PSNR {psnr:.1f} dB")
