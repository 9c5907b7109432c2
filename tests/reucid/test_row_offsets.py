"""Offsets of scan rows."""

import numpy as np
import pytest

from napari_lowdose.engine import run_to_end
from napari_lowdose.reucid.prepared import prepare
from napari_lowdose.reucid.row_offsets import profile_offsets, remove_row_offsets
from tests.reucid.test_noise_estimate import camera, lattice


@pytest.mark.parametrize("electrons", [5, 40])
def test_offsets_are_removed(electrons) -> None:
    rng = np.random.default_rng(0)
    truth = lattice(electrons=electrons)
    image = camera(truth, read=1)
    rows = rng.normal(0, 0.2 * image.std(), (256, 1))
    cleaned, _ = run_to_end(remove_row_offsets(prepare(image + rows)))
    left = (cleaned.mended - image).mean(axis=1)
    assert np.std(left) < 0.65 * np.std(rows)  # those that coincide with the lattice stay


@pytest.mark.parametrize("scene", ["lattice", "aligned lattice", "edges"])
def test_image_without_scan_noise_is_untouched(scene) -> None:
    truth = lattice(electrons=40)
    if scene == "aligned lattice":
        truth = np.tile(truth[:, 10:11], (1, 256))
    elif scene == "edges":
        truth = 20 + 40 * (np.indices((256, 256))[0] // 37 % 2)
    prepared = prepare(camera(truth.astype(float)))
    assert np.std(profile_offsets(prepared.image)) < 0.03
