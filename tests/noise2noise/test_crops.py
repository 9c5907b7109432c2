"""Random crops: held-out pixels, and the shift after each flip, rotation and swap."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_lowdose.noise2noise.crops import Crops, draw_crops
from napari_lowdose.noise2noise.spline_shift import RADIUS, spline_shift

SHIFT = (0.4, -0.3)
ROWS, COLUMNS = 72, 88


def scene(dy: float, dx: float) -> NDArray[np.float32]:
    """Three waves without symmetry, shifted by (dy, dx)."""
    y, x = np.mgrid[:ROWS, :COLUMNS].astype(float)
    y, x = y - dy, x - dx
    waves = np.sin(y / 2.3 + x / 7.1) + np.cos(x / 2.9 - y / 9.7) + np.sin(x / 3.7 + 1)
    return waves.astype(np.float32)


def draw(
    exposures: NDArray[np.float32],
    seen: NDArray[np.bool_] | None = None,
    shift: tuple[float, float] = (0.0, 0.0),
    n: int = 64,
    crop_size: int = 32,
    seed: int = 0,
) -> Crops:
    if seen is None:
        seen = np.ones((len(exposures), *exposures.shape[2:]), bool)
    rng = np.random.default_rng(seed)
    return draw_crops(torch.from_numpy(exposures), torch.from_numpy(seen), shift, n, crop_size, rng)


INNER = (..., slice(RADIUS, -RADIUS), slice(RADIUS, -RADIUS))


@pytest.mark.parametrize("shift", [SHIFT, (-0.4, -0.9), (0.0, 0.5), (1.0, 0.0)])
def test_shifted_input_equals_the_partner(shift: tuple[float, float]) -> None:
    """This holds for each of the 16 orientations."""
    exposures = np.stack([scene(0, 0), scene(*shift)])[None]
    crops = draw(exposures, shift=shift, n=160)
    assert len({tuple(each) for each in crops.shifts.tolist()}) >= (4 if 0 in shift else 8)
    moved = spline_shift(crops.inputs, crops.shifts)
    right = (moved - crops.partners)[INNER].abs().amax((1, 2, 3))
    assert right.max() < 0.02
    # The test sees a wrong sign, and a shift that stayed as it was
    for wrong in (-crops.shifts, torch.zeros_like(crops.shifts)):
        error = (spline_shift(crops.inputs, wrong) - crops.partners)[INNER].abs().amax((1, 2, 3))
        assert error.min() > 0.05


def pixel_numbers(n_pairs: int = 2) -> NDArray[np.float32]:
    """Exposures whose pixels encode their position: positive in the first, else negative."""
    number = 1 + np.arange(n_pairs * ROWS * COLUMNS, dtype=np.float32)
    first = number.reshape(n_pairs, ROWS, COLUMNS)
    return np.stack([first, -first], axis=1)


def test_held_out_pixels_have_zero_weight() -> None:
    exposures = pixel_numbers()
    seen = np.ones((2, ROWS, COLUMNS), bool)
    seen[0, 16:32, 48:64] = seen[1, 0:16, 0:16] = seen[1, 56:72, 72:88] = False
    held_out = set(exposures[:, 0][~seen].tolist())
    crops = draw(exposures, seen, n=200)
    for partner, weight in zip(crops.partners, crops.seen, strict=True):
        numbers = partner.abs().flatten().tolist()
        expected = [float(number not in held_out) for number in numbers]
        assert weight.flatten().tolist() == expected
    assert (crops.seen == 0).any()


def test_input_and_partner_show_the_same_pixels() -> None:
    crops = draw(pixel_numbers(), n=200)
    assert torch.equal(crops.inputs, -crops.partners)
    swapped = (crops.inputs < 0).flatten(1)
    assert (swapped.all(1) | ~swapped.any(1)).all()  # a crop is swapped as a whole
    assert 60 < int(swapped[:, 0].sum()) < 140  # about every other one


def test_crops_cover_all_pairs_orientations_and_corners() -> None:
    exposures = pixel_numbers()
    crops = draw(exposures, n=2000, crop_size=64)
    numbers = crops.inputs.abs()[:, 0].numpy().astype(int) - 1
    assert set((numbers // (ROWS * COLUMNS)).ravel()) == {0, 1}
    steps = {(int(n[1, 0] - n[0, 0]), int(n[0, 1] - n[0, 0])) for n in numbers}
    along = (1, -1, COLUMNS, -COLUMNS)
    assert steps == {(a, b) for a in along for b in along if abs(a) != abs(b)}
    corners = {0, COLUMNS - 1, (ROWS - 1) * COLUMNS, ROWS * COLUMNS - 1}
    assert corners <= set((numbers % (ROWS * COLUMNS)).ravel())


def test_same_seed_gives_the_same_crops() -> None:
    exposures = pixel_numbers()
    one, same, other = (draw(exposures, n=4, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(one.inputs, same.inputs)
    assert not torch.equal(one.inputs, other.inputs)


def test_crop_as_large_as_the_image() -> None:
    exposures = pixel_numbers(1)[..., :ROWS, :ROWS]
    crops = draw(np.ascontiguousarray(exposures), n=3, crop_size=ROWS)
    assert crops.inputs.shape == (3, 1, ROWS, ROWS)
    everything = np.sort(exposures[0, 0].ravel())
    for crop in crops.inputs.abs():
        assert np.array_equal(np.sort(crop.numpy().ravel()), everything)
