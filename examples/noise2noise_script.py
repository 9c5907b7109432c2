"""Noise2Noise in a script: train on a pair, look at it grow, keep the network, use it again.

Run it with: python examples/noise2noise_script.py [EPOCHS]
"""

import sys

from napari_lowdose import Noise2Noise, Noise2NoiseModel, TrainingStep, denoise, metrics
from napari_lowdose.samples import stem_pair

first, second, truth = stem_pair()  # (Y, X) each: the same scene, noise of its own
epochs = float(sys.argv[1]) if len(sys.argv) > 1 else 100

# The whole job would be: clean = denoise((first, second), Noise2Noise())
# Step by step: stop iterating whenever it is good enough, the model so far is there to keep
engine = Noise2Noise(epochs=epochs, seed=0)
for step in engine.training_steps(first, second):
    assert isinstance(step, TrainingStep)
    if step.gain is not None:
        low, high = step.gain  # 95 %, from tiles that training never saw; no clean image needed
        print(f"epoch {step.epoch:4.0f}: {low:.1f} to {high:.1f} dB better than one exposure")
    if step.model is not None:
        model = step.model

# A network is a file, and an engine like the others
model.save("stem.safetensors")
model = Noise2NoiseModel.load("stem.safetensors")
both = denoise((first, second), model)  # the mean of the network applied to either
single = denoise(first, model)  # where there is one exposure only

data_range = float(truth.max())
for name, image in {"one exposure": first, "denoised": single, "pair, denoised": both}.items():
    print(f"{name:>14}: PSNR {metrics.psnr(truth, image, data_range=data_range):.1f} dB")
