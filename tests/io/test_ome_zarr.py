"""OME-Zarr metadata agree with the OME-NGFF specification, as yaozarrs implements it."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaozarrs
import zarr
from yaozarrs import v04, v05

from napari_lowdose import denoise_to_zarr
from napari_lowdose.io.ome_zarr import metadata
from napari_lowdose.io.zarr_folder import read_zarr
from tests.streaming.test_stream import Counting

if TYPE_CHECKING:
    from pathlib import Path

AXES = ["".join((*leading, "YX")) for n in range(4) for leading in combinations("TCZ", n)]
MOVIE = np.arange(3 * 8 * 6, dtype=np.float32).reshape(3, 8, 6)


@pytest.mark.parametrize("axes", AXES)
def test_written_metadata_follow_the_specification(axes: str) -> None:
    scale = [2.0, 3.0, 4.0, 0.5, 0.25][-len(axes) :]
    units = ["s" if axis == "T" else "nm" for axis in axes]
    written = metadata(len(axes), axes, scale, units)["ome"]
    ome: Any = yaozarrs.validate_ome_object(written)
    assert isinstance(ome, v05.Image) and ome.version == "0.5"
    (image,) = ome.multiscales
    types = {"T": "time", "C": "channel"}
    assert [axis.name for axis in image.axes] == list(axes.lower())
    assert [axis.type for axis in image.axes] == [types.get(axis, "space") for axis in axes]
    expected = {"T": "second", "C": None}
    assert [axis.unit for axis in image.axes] == [expected.get(axis, "nanometer") for axis in axes]
    (dataset,) = image.datasets
    (transformation,) = dataset.coordinateTransformations
    assert transformation.type == "scale" and transformation.scale == scale


@pytest.mark.parametrize("axes", ["YX", "TYX", "TCZYX"])
def test_written_group_passes_validation(tmp_path: Path, axes: str) -> None:
    movie = np.ones((2,) * (len(axes) - 2) + (8, 6)) * np.arange(6)
    denoise_to_zarr(movie, Counting(), tmp_path / "out.zarr", axes=axes)
    yaozarrs.validate_zarr_store(tmp_path / "out.zarr")


@pytest.mark.parametrize("unit", ["Å", "pm", "nm", "um", "µm", "μm", "mm", "cm", "m", "inch"])
@pytest.mark.parametrize("time", ["µs", "ms", "s", "min", "h"])
@pytest.mark.filterwarnings("error")  # yaozarrs warns of unknown units
def test_unit_names_are_those_of_the_specification(unit: str, time: str) -> None:
    written = metadata(3, "TYX", None, (time, unit, unit))["ome"]
    units = [axis.get("unit") for axis in written["multiscales"][0]["axes"]]
    assert None not in units
    yaozarrs.validate_ome_object(written)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_groups_of_other_programs_are_read(tmp_path: Path, version: str) -> None:
    ngff: Any = {"0.4": v04, "0.5": v05}[version]
    axes = [
        ngff.TimeAxis(name="t", unit="second"),
        ngff.SpaceAxis(name="y", unit="micrometer"),
        ngff.SpaceAxis(name="x", unit="micrometer"),
    ]
    scale = ngff.ScaleTransformation(scale=[2.0, 0.5, 0.25])
    levels = [ngff.Dataset(path="full", coordinateTransformations=[scale])]
    image = ngff.Image(multiscales=[ngff.Multiscale(name="a", axes=axes, datasets=levels)])
    attributes = image.model_dump(mode="json", exclude_none=True)
    group = zarr.open_group(tmp_path / "in.zarr", zarr_format=2 if version == "0.4" else 3)
    group.create_array("full", data=MOVIE)
    group.attrs.update(attributes if version == "0.4" else {"ome": attributes})
    found = read_zarr(tmp_path / "in.zarr")
    assert (found.axes, found.scale, found.units) == ("TYX", (2.0, 0.5, 0.25), ("s", "µm", "µm"))
    np.testing.assert_array_equal(found.pixels, MOVIE)
