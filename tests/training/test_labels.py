"""Labels from the truth: the error of a choice is that of the image it makes."""

from __future__ import annotations

import numpy as np
import pytest

from napari_lowdose import Reucid, denoise
from napari_lowdose.reucid.teaching.error_of_choice import best_in_hindsight, best_prefix, greedy
from training.labels import (
    contributions,
    decompose,
    error_of_choice,
    noise_floor,
    plain_rule,
)

P = 7


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.indices((80, 90))
    truth = 3 + np.cos(2 * np.pi * x / 9) * np.cos(2 * np.pi * y / 12)
    return truth, truth + np.random.default_rng(0).normal(0, 0.8, truth.shape)


def test_error_of_choice_is_that_of_the_denoised_image(
    scene: tuple[np.ndarray, np.ndarray],
) -> None:
    truth, image = scene
    stack = decompose(image, P, 25)
    error = error_of_choice(truth, *contributions(image, stack.eigenpatches))
    kept = np.zeros(25, bool)
    kept[[0, 2, 3]] = True
    clean = denoise(image, Reucid(patch_size=P, keep=[0, 2, 3]))
    assert error(kept) == pytest.approx(np.mean((clean - truth) ** 2), rel=1e-4)
    toggled = error.after_toggling(kept)
    for k in (0, 1):
        other = kept.copy()
        other[k] ^= True
        assert toggled[k] == pytest.approx(error(other))


def test_hindsight_is_never_worse_than_its_parts(scene: tuple[np.ndarray, np.ndarray]) -> None:
    truth, image = scene
    stack = decompose(image, P, 25)
    error = error_of_choice(truth, *contributions(image, stack.eigenpatches))
    best = error(best_in_hindsight(error))
    assert best <= error(best_prefix(error))
    assert best <= error(greedy(error))
    assert best <= error(plain_rule(image, stack, noise_floor(image, P)))
    # greedy stops only where no toggle helps
    assert error.after_toggling(greedy(error)).min() >= error(greedy(error)) * (1 - 1e-6)


def test_the_noise_floor_is_the_variance_of_white_noise() -> None:
    image = np.random.default_rng(0).normal(5, 3, (200, 200))
    assert noise_floor(image, P) == pytest.approx(1, rel=0.05)  # of the image scaled to unit power
