"""Teach the classifier of REUCID on your own images.

By picking the best of several reconstructions (`Survey`, `teach`), as in the survey of the paper,
or from pairs of exposures without any person (`teach_from_pair`).

Examples
--------
>>> import numpy as np
>>> from napari_lowdose.reucid.teaching import teach_from_pair
>>> fringes = np.broadcast_to(9 + 6 * np.cos(np.arange(96) / 2), (96, 96))
>>> first, second = np.random.default_rng(0).poisson(fringes, (2, 96, 96))
>>> taught = teach_from_pair(first, second)
>>> taught.record["taught_by"], taught.record["n_pairs"]
('pairs', 1)

Save it with ``taught.save("mine.safetensors")``, and use it in
``Reucid(classifier="mine.safetensors")``.
"""

from napari_lowdose.reucid.teaching.decomposed import Decomposed, decompose_steps
from napari_lowdose.reucid.teaching.from_pair import chosen_by_pair, teach_from_pair
from napari_lowdose.reucid.teaching.survey import Pick, Question, Survey
from napari_lowdose.reucid.teaching.taught import (
    Agreement,
    Taught,
    TeachingStep,
    teach,
    teach_steps,
)

__all__ = [
    "Agreement",
    "Decomposed",
    "Pick",
    "Question",
    "Survey",
    "Taught",
    "TeachingStep",
    "chosen_by_pair",
    "decompose_steps",
    "teach",
    "teach_from_pair",
    "teach_steps",
]
