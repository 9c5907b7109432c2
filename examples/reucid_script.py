"""REUCID in a script: in one line, step by step, and with chosen parameters.

Usage: python examples/reucid_script.py
"""

from napari_lowdose import Reucid, denoise, denoise_steps, metrics
from napari_lowdose.samples import stem_low_dose

noisy, truth = stem_low_dose()  # (Y, X), counts per pixel; NumPy, dask and zarr arrays all work

# In one line
clean = denoise(noisy, Reucid())

# Step by step: stop iterating once the image is good enough
for step in denoise_steps(noisy, Reucid(n_stacks=5)):
    if step.image is not None:
        print(f"{step.fraction:.0%} {step.message}")

# With chosen parameters: patches of 11 x 11 pixels, and the first six eigenpatches
six = denoise(noisy, Reucid(patch_size=11, keep=6))

data_range = float(truth.max())
for name, image in {"noisy": noisy, "REUCID": clean, "six eigenpatches": six}.items():
    print(f"{name:>17}: PSNR {metrics.psnr(truth, image, data_range=data_range):.1f} dB")
