"""All frames, into a zarr folder: what is on disk says where the layer lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaozarrs
import zarr
from napari.components import LayerList
from napari.layers import Image

from napari_lowdose.io.zarr_folder import read_zarr
from napari_lowdose.widgets.layer_run import ZarrRun
from tests.streaming.counting import Counting, numbered

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("labels", "axes"),
    [(None, "TYX"), (("z", "y", "x"), "ZYX"), (("plane", "row", "column"), "ZYX")],
)
def test_axes_scale_and_units_of_the_layer(tmp_path: Path, labels: Any, axes: str) -> None:
    layer = Image(
        numbered(3), scale=(3, 2, 1), units=("s", "nm", "nm"), axis_labels=labels, name="movie"
    )
    layers = LayerList([layer])
    path = tmp_path / "clean.zarr"
    run = ZarrRun(layers, layer, Counting(), str(path), "clean")
    for step in run.run:
        run.show([step])
    run.end()
    (_, result) = layers
    assert result.name == "clean" and tuple(result.scale) == (3, 2, 1)
    np.testing.assert_array_equal(np.asarray(result.data), 2 * numbered(3))
    about = zarr.open_group(path).attrs
    assert (about["axes"], about["scale"]) == (axes, [3, 2, 1])
    yaozarrs.validate_zarr_store(path)
    image = read_zarr(path)
    assert (image.axes, image.pixel_size, image.unit) == (axes, (2, 1), "nm")
