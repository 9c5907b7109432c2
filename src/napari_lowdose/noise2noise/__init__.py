"""Noise2Noise with a Pearson loss, one stage of the method per file.

References
----------
D. Yang et al., "Low-dose imaging denoising with one pair of noisy images", Optics Express 31
(2023): "the pair paper" in this package.
"""

from napari_lowdose.noise2noise.application import PairStep as PairStep
from napari_lowdose.noise2noise.model import Noise2NoiseModel as Noise2NoiseModel
from napari_lowdose.noise2noise.noise2noise import Noise2Noise as Noise2Noise
from napari_lowdose.noise2noise.pixel_size import pixel_size_warning as pixel_size_warning
from napari_lowdose.noise2noise.training_step import TrainingStep as TrainingStep
