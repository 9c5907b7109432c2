"""Show evidence: which structure of a result the data support, as layers."""

import numpy as np
import pytest
from napari.layers import Labels
from napari.utils.notifications import notification_manager

from napari_lowdose import Reucid, denoise
from napari_lowdose.widgets import menus, result_job
from napari_lowdose.widgets.result_layer import METADATA_KEY, is_result

ROWS, COLUMNS = np.indices((96, 96))


def spot(y, x, height):
    return height * np.exp(-((ROWS - y) ** 2 + (COLUMNS - x) ** 2) / 8)


TRUTH = 20 + sum(spot(y, x, 200) for y in range(8, 96, 16) for x in range(8, 96, 16))
NOISY = np.random.default_rng(0).poisson(TRUTH).astype(np.float32)
PAINTED = (TRUTH + spot(48, 48, 80)).astype(np.float32)


def record(layer="scan", **about):
    return {METADATA_KEY: {"input": {"layer": layer, **about}}}


def show(viewer, qtbot, *layers):
    viewer.layers.selection = set(layers)
    before = len(notification_manager.records)
    menus.show_evidence(viewer)
    qtbot.waitUntil(lambda: not result_job.running, timeout=20000)
    return [each.message for each in notification_manager.records[before:]]


def test_painted_structure_is_outlined_over_the_result(viewer, qtbot):
    viewer.add_image(NOISY, name="scan", scale=(0.5, 0.5), translate=(3, 4))
    result = viewer.add_image(
        PAINTED, name="clean", metadata=record(), scale=(0.5, 0.5), translate=(3, 4)
    )
    messages = show(viewer, qtbot, result)
    assert "1 place with structure that the data do not support" in messages[-1]
    significance, residual, outline = viewer.layers[-3:]
    assert outline.name == "clean not supported by the data"
    assert isinstance(outline, Labels) and outline.contour > 0 and outline.visible
    assert outline.data[48, 48] == 1 and outline.data[24, 24] == 0
    for layer in (significance, residual, outline):
        np.testing.assert_allclose(layer.scale, result.scale)
        np.testing.assert_allclose(layer.translate, result.translate)
    assert not significance.visible and not residual.visible
    assert is_result(significance) and is_result(residual)
    assert set(viewer.layers.selection) == {result}


@pytest.mark.parametrize("name", ["scan", ["scan", "scan, second"]], ids=["image", "pair"])
def test_a_faithful_result_has_nothing_outlined(viewer, qtbot, name):
    viewer.add_image(NOISY, name="scan")
    clean = denoise(NOISY, Reucid(patch_size="psf"))
    result = viewer.add_image(clean, name="clean", metadata=record(name))
    assert "0 places with structure that" in show(viewer, qtbot, result)[-1]
    assert not viewer.layers[-1].data.any()


def test_an_image_and_its_result_are_selected(viewer, qtbot):
    image = viewer.add_image(NOISY, name="renamed")
    result = viewer.add_image(PAINTED, name="clean", metadata=record("scan"))
    (message,) = show(viewer, qtbot, result)
    assert "'scan', is not among the layers" in message
    show(viewer, qtbot, image, result)
    assert viewer.layers[-1].data[48, 48] == 1


def test_the_frame_in_view_of_a_movie_is_compared(viewer, qtbot):
    viewer.add_image(np.stack([NOISY] * 3), name="scan")
    result = viewer.add_image(np.stack([TRUTH, PAINTED, TRUTH]), name="clean", metadata=record())
    viewer.dims.set_current_step(0, 1)
    show(viewer, qtbot, result)
    outline = viewer.layers[-1]
    assert outline.data.shape == (1, 96, 96) and outline.data[0, 48, 48] == 1
    assert outline.translate[0] == 1


def test_a_result_of_one_frame_is_compared_with_this_frame(viewer, qtbot):
    viewer.add_image(np.stack([np.rot90(NOISY) + 100, NOISY]), name="scan")
    result = viewer.add_image(
        PAINTED[np.newaxis], name="clean", metadata=record(frame=[1]), translate=(1, 0, 0)
    )
    show(viewer, qtbot, result)
    outline = viewer.layers[-1]
    assert outline.data[0, 48, 48] == 1 and outline.data.sum() < 200
    assert outline.translate[0] == 1


@pytest.mark.parametrize(
    ("data", "metadata", "message"),
    [
        (PAINTED, {}, "Select a result"),
        (PAINTED[:50], record(), "the result (50, 96)"),
        (np.stack([PAINTED] * 2), record(), "have different frames"),
        (np.full_like(PAINTED, np.nan), record(), "NaN"),
    ],
)
def test_layers_that_do_not_match_give_a_notification(viewer, qtbot, data, metadata, message):
    viewer.add_image(NOISY, name="scan")
    result = viewer.add_image(data, name="clean", metadata=metadata, contrast_limits=(0, 1))
    assert message in show(viewer, qtbot, result)[-1]
    assert len(viewer.layers) == 2
