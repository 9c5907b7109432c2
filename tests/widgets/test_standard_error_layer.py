"""Show standard error: the noise that is left in each pixel of a result, as a layer."""

import json
from dataclasses import replace

import numpy as np
import pytest
from napari.utils import progress
from napari.utils.notifications import notification_manager

from napari_lowdose import Reucid, Run, standard_error
from napari_lowdose.widgets import menus, result_job
from napari_lowdose.widgets.result_layer import METADATA_KEY, is_result
from napari_lowdose.widgets.standard_error_layer import engine_of

ROWS, COLUMNS = np.indices((64, 72))
NOISY = (
    np.random.default_rng(0)
    .poisson(20 + 15 * np.sin(ROWS / 2) * np.sin(COLUMNS / 2))
    .astype(np.float32)
)
ENGINE = Reucid(patch_size=7)


def denoised(pixels, engine, **about):
    """Return a result and its record, as the widget writes it."""
    run = Run(pixels, engine)
    for _ in run:
        pass
    record = run.record() | engine.about()
    record["input"] |= {"layer": "scan", **about}
    return run.image, json.loads(json.dumps(record))


def show(viewer, qtbot, *layers):
    viewer.layers.selection = set(layers)
    before = len(notification_manager.records)
    menus.show_standard_error(viewer)
    qtbot.waitUntil(lambda: not result_job.running, timeout=20000)
    return [each.message for each in notification_manager.records[before:]]


@pytest.mark.parametrize("stacks", ["random", "alike"])
def test_the_standard_error_lies_over_the_result(viewer, qtbot, stacks):
    engine = replace(ENGINE, stacks=stacks)
    clean, record = denoised(NOISY, engine)
    place = {"scale": (0.5, 0.5), "translate": (3, 4)}
    viewer.add_image(NOISY, name="scan", **place)
    result = viewer.add_image(clean, name="clean", metadata={METADATA_KEY: record}, **place)
    messages = show(viewer, qtbot, result)
    layer = viewer.layers[-1]
    assert layer.name == "clean standard error" and is_result(layer) and layer.visible
    np.testing.assert_array_equal(layer.data, standard_error(NOISY, engine))
    np.testing.assert_allclose((*layer.scale, *layer.translate), (0.5, 0.5, 3, 4))
    assert "the standard error of a pixel is" in messages[-1]
    assert set(viewer.layers.selection) == {result}
    assert not progress._all_instances


def test_the_frame_in_view_of_a_movie(viewer, qtbot):
    movie = np.stack([NOISY, NOISY[::-1], 2 * NOISY])
    engine = Reucid(patch_size="psf", stacks="alike", frames_together=2)
    clean, record = denoised(movie, engine)
    viewer.add_image(movie, name="scan")
    result = viewer.add_image(clean, name="clean", metadata={METADATA_KEY: record})
    viewer.dims.set_current_step(0, 1)
    show(viewer, qtbot, result)
    layer = viewer.layers[-1]
    fixed = replace(engine, patch_size=record["steps"][0]["patch_size"])
    expected = standard_error(movie[1], fixed, neighbours={-1: (movie[0],)})
    np.testing.assert_array_equal(layer.data, expected[np.newaxis])
    assert layer.translate[0] == 1


def test_engine_of_a_record():
    _, record = denoised(NOISY, Reucid(patch_size="wide", n_stacks=2, seed=3))
    width = record["steps"][0]["patch_size"]
    engine = engine_of(record, ())
    assert engine == Reucid(patch_size=width, n_stacks=2, n_components=75, seed=3)
    by_hand = record | {"kept_by_hand": [{"index": [], "kept": [[0, 2], [1]]}]}
    assert engine_of(by_hand, ()).keep == ((0, 2), (1,))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, "Select a result"),
        ({"engine": "Noise2NoiseModel", "input": {"layer": "scan"}}, "REUCID"),
    ],
)
def test_other_layers_give_a_notification(viewer, qtbot, record, message):
    viewer.add_image(NOISY, name="scan")
    result = viewer.add_image(NOISY, name="clean", metadata={METADATA_KEY: record})
    assert message in show(viewer, qtbot, result)[-1]
    assert len(viewer.layers) == 2


def test_it_can_be_cancelled(viewer, qtbot):
    large = np.tile(NOISY, (4, 4))
    record = {"engine": "Reucid", "parameters": {"stacks": "alike"}, "steps": []}
    record["input"] = {"layer": "scan"}
    viewer.add_image(large, name="scan")
    result = viewer.add_image(large, name="clean", metadata={METADATA_KEY: record})
    viewer.layers.selection = {result}
    menus.show_standard_error(viewer)
    (bar,) = progress._all_instances
    bar.cancel()
    qtbot.waitUntil(lambda: not result_job.running, timeout=20000)
    assert len(viewer.layers) == 2 and not progress._all_instances
