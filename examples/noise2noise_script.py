"""Noise2Noise in a script: train on a pair, follow the training, save the network and reuse it.

Usage: python examples/noise2noise_script.py [EPOCHS]
"""

import sys

from napari_lowdose import Noise2Noise, Noise2NoiseModel, TrainingStep, denoise, metrics
from napari_lowdose.samples import stem_pair

first, second, truth = stem_pair()  # (Y, X) each: one scene, independent noise
epochs = float(sys.argv[1]) if len(sys.argv) > 1 else 100

# In one line: clean = denoise((first, second), Noise2Noise())
# Step by step: stop iterating once the result is good enough and keep the latest model
engine = Noise2Noise(epochs=epochs, seed=0)
for step in engine.training_steps(first, second):
    assert isinstance(step, TrainingStep)
    if step.gain is not None:
        # 95 % confidence interval, measured on held-out tiles; no clean image is needed
        low, high = step.gain
        print(f"epoch {step.epoch:4.0f}: {low:.1f} to {high:.1f} dB better than one exposure")
    if step.model is not None:
        model = step.model

# A trained network can be saved to a file, and is an engine like any other
model.save("stem.safetensors")
model = Noise2NoiseModel.load("stem.safetensors")
both = denoise((first, second), model)  # applied to each exposure, then averaged
single = denoise(first, model)  # for a single exposure

data_range = float(truth.max())
for name, image in {"one exposure": first, "denoised": single, "pair, denoised": both}.items():
    print(f"{name:>14}: PSNR {metrics.psnr(truth, image, data_range=data_range):.1f} dB")
