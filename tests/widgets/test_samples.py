"""File > Open Sample: what napari shows, and the truth hidden below it."""

from pathlib import Path

import npe2
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_lowdose.samples import Beamsplitter

MANIFEST = npe2.PluginManifest.from_file(Path(__file__).parents[2] / "napari.yaml")
SAMPLES = {sample.key: sample.display_name for sample in MANIFEST.contributions.sample_data}


def opened(key: str) -> ViewerModel:
    npe2.PluginManager.instance().discover()  # as a window does at its start
    viewer = ViewerModel()
    viewer.open_sample("napari-lowdose", key)
    return viewer


def test_the_menu_has_one_image_two_pairs_a_frame_and_a_movie() -> None:
    assert list(SAMPLES.values()) == [
        "Low-dose STEM",
        "Low-dose STEM pair",
        "Low-dose nuclei pair",
        "Beamsplitter frame",
        "Beamsplitter movie",
    ]


@pytest.mark.parametrize("key", SAMPLES)
def test_it_opens_with_the_truth_hidden_below(key: str) -> None:
    truth, *noisy = opened(key).layers
    assert len(noisy) == (2 if "pair" in key else 1)
    assert "without noise" in truth.name
    assert not truth.visible
    assert all(layer.visible for layer in noisy)
    for layer in noisy:  # the same place, so that one covers the other
        assert layer.data.shape == truth.data.shape
        np.testing.assert_array_equal(layer.scale, truth.scale)
        assert layer.units == truth.units
    assert {str(unit) for unit in truth.units[-2:]} <= {"angstrom", "micrometer"}


@pytest.mark.parametrize("key", [key for key in SAMPLES if key != "stem_low_dose"])
def test_noisy_and_truth_are_shown_in_the_same_grey_levels_and_neither_is_flat(key: str) -> None:
    truth, *noisy = opened(key).layers
    for layer in (truth, *noisy):
        low, high = layer.contrast_limits
        assert [low, high] == truth.contrast_limits
        shown = np.clip((layer.data - low) / (high - low), 0, 1)
        assert np.mean(shown == 1) < 0.02
        assert shown.std() > 0.1


def test_the_movie_has_24_frames_per_second_and_its_true_shift() -> None:
    viewer = opened("beamsplitter_movie")
    movie = viewer.layers[-1]
    assert movie.scale[0] == pytest.approx(1 / 24)
    assert str(movie.units[0]) == "second"
    assert viewer.dims.axis_labels == ("t", "y", "x")
    assert Beamsplitter().shift in movie.metadata.values()
