"""REUCID in a script, from one line to a look at every step.

Run it with: python examples/reucid_script.py
"""

from napari_lowdose import Reucid, denoise, denoise_steps, metrics
from napari_lowdose.samples import stem_low_dose

noisy, truth = stem_low_dose()  # (Y, X) counts per pixel; any numpy, dask or zarr array will do

# The whole job
clean = denoise(noisy, Reucid())

# Step by step: stop iterating whenever the image is good enough
for step in denoise_steps(noisy, Reucid(n_stacks=5)):
    if step.image is not None:
        print(f"{step.fraction:.0%} {step.message}")

# Your own choice: the first six eigenpatches of a patch of 11 x 11 pixels
six = denoise(noisy, Reucid(patch_size=11, keep=6))

data_range = float(truth.max())
for name, image in {"noisy": noisy, "REUCID": clean, "six eigenpatches": six}.items():
    print(f"{name:>17}: PSNR {metrics.psnr(truth, image, data_range=data_range):.1f} dB")
