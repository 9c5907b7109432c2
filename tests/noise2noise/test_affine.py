"""Training on two views that differ by an affine map."""

from contextlib import nullcontext

import numpy as np
import pytest

from napari_lowdose import Noise2Noise, Noise2NoiseModel, denoise, samples, split_frame
from napari_lowdose.noise2noise.crops import draw_crops
from napari_lowdose.noise2noise.pair_checks import check_pair
from napari_lowdose.noise2noise.resampled_targets import resampled_targets
from napari_lowdose.noise2noise.training_data import training_pairs
from napari_lowdose.pairs.view_map import ViewMap
from napari_lowdose.samples.beamsplitter import Beamsplitter


@pytest.fixture(scope="module")
def views():
    splitter = Beamsplitter(rotation=0.5, magnification=1.005)
    frame, truth = samples.beamsplitter_frame(splitter=splitter)
    with pytest.warns(UserWarning, match="rotated"):
        first, second, layout = split_frame(frame)
    return first, second, layout.split(truth)[0], layout


def psnr(image, truth):
    error = np.mean((image - truth)[8:-8, 8:-8] ** 2)
    return 10 * np.log10(np.ptp(truth) ** 2 / error)


def test_the_map_gains_detail(views, tmp_path):
    first, second, truth, layout = views
    found = {}
    for name, how in (("shift", {"shift": layout.fraction}), ("affine", {"affine": layout.affine})):
        with pytest.warns(UserWarning) if name == "shift" else nullcontext():
            model = Noise2Noise(epochs=6, **how).train(first, second)
        found[name] = psnr(denoise((first, second), model), truth)
    assert found["affine"] > found["shift"] + 0.7
    model.save(tmp_path / "network.safetensors")
    again = Noise2NoiseModel.load(tmp_path / "network.safetensors")
    np.testing.assert_array_equal(denoise((first, second), again), denoise((first, second), model))


def test_inputs_are_raw_and_targets_lie_on_them(views):
    import torch

    first, second, _, layout = views
    pairs = training_pairs(first, second, 1, 0, None, affine=layout.affine)
    targets = resampled_targets(pairs)
    exposures = torch.from_numpy(pairs.exposures)
    crops = draw_crops(
        exposures, torch.from_numpy(targets.seen), (0.0, 0.0), 64, 32, np.random.default_rng(0),
        targets=torch.from_numpy(targets.partners),
    )  # fmt: skip
    raw = set(pairs.exposures.ravel().tolist())
    assert set(crops.inputs.ravel().tolist()) <= raw
    assert not crops.shifts.any()
    # At the corner, the scenes of the raw exposures are two pixels apart
    corner = np.s_[20:84, 20:84]
    aligned = np.corrcoef(
        pairs.exposures[0, 0][corner].ravel(), targets.partners[0, 0][corner].ravel()
    )
    apart = np.corrcoef(
        pairs.exposures[0, 0][corner].ravel(), pairs.exposures[0, 1][corner].ravel()
    )
    assert aligned[0, 1] > apart[0, 1] + 0.02
    # No target shows what is held out in its own exposure
    held_out = ViewMap(layout.affine).resample((~pairs.seen).astype(np.float32), order=0)[0] > 0.5
    assert held_out.any() and not (targets.seen[0, 0] & held_out).any()


def test_the_card_knows_the_map(views):
    first, second, _, layout = views
    assert check_pair(first, second, layout.fraction, layout.affine) == []
    drifted = np.array(layout.affine) + [[0, 0, 0.6], [0, 0, 0]]
    notes = check_pair(first, second, affine=drifted.tolist())
    assert notes[0].kind == "drift" and "since the map" in notes[0].message


def test_a_matrix_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="affine must be 2 x 3 numbers"):
        Noise2Noise(affine=(1, 2))
