"""One click carries over to the same structure in every patch stack."""

import numpy as np
import pytest

from napari_lowdose.reucid import StackStep
from napari_lowdose.widgets.reucid.eigenpatches import toggle_eigenpatch


def stack(number, order, kept):
    return StackStep(
        fraction=1,
        message="",
        stack=number,
        n_stacks=2,
        patch_size=3,
        eigenpatches=np.eye(9, dtype=np.float32)[order].reshape(-1, 3, 3),
        singular_values=np.arange(len(order), 0, -1.0),
        utilities=np.zeros(len(order), np.float32),
        kept=np.array(kept, bool),
        noise_floor=1.0,
    )


def test_the_most_similar_eigenpatch_of_the_other_stack_follows():
    other = stack(1, [2, 0, 1], [1, 1, 0])
    flipped = -other.eigenpatches  # the sign of an eigenpatch means nothing
    object.__setattr__(other, "eigenpatches", flipped)
    after = toggle_eigenpatch([stack(0, [0, 1, 2], [1, 1, 0]), other], 0, 2)
    assert after[0].kept.tolist() == [True, True, True]
    assert after[1].kept.tolist() == [True, True, False]  # number 0 shows it, and was kept
    after = toggle_eigenpatch(after, 0, 0)
    assert after[1].kept.tolist() == [True, False, False]


def test_a_stack_without_that_structure_is_left_alone():
    other = stack(1, [5, 6], [1, 0])
    assert toggle_eigenpatch([stack(0, [0, 1], [1, 0]), other], 0, 1)[1] is other


def test_the_last_kept_one_stays():
    with pytest.raises(ValueError, match="at least one"):
        toggle_eigenpatch([stack(0, [0, 1], [1, 0])], 0, 0)
