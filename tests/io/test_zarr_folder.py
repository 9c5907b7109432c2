"""Zarr arrays and OME-Zarr groups are read with their axes, pixel size and history."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr
from typer.testing import CliRunner

from napari_lowdose import Reucid, Stream, denoise, denoise_to_zarr
from napari_lowdose.cli import app as cli
from napari_lowdose.io.input_files import missing_chunks
from napari_lowdose.io.tiff import read_tiff, write_tiff
from napari_lowdose.io.zarr_folder import attributes_like, read_zarr
from napari_lowdose.io.zarr_frames import as_zarr_frames
from tests.cli.test_app import Doubler
from tests.streaming.test_stream import Counting

if TYPE_CHECKING:
    from pathlib import Path

MOVIE = np.random.default_rng(0).poisson(9, (3, 40, 36)).astype(np.uint16)
AXES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


@pytest.fixture
def run():
    app = cli.build_app(doubler=Doubler)
    return lambda *arguments: CliRunner().invoke(app, ["doubler", *map(str, arguments)])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "in.zarr"


def axis(name: str) -> dict[str, str]:
    described = {"name": name, "type": AXES[name]}
    return {**described, "unit": "micrometer"} if described["type"] == "space" else described


def multiscale(axes: str, scale: list[float], levels: tuple[str, ...] = ("0", "1")) -> Any:
    half = [1.0] * (len(axes) - 2) + [2.0, 2.0]
    return {
        "axes": [axis(name) for name in axes],
        "datasets": [
            {
                "path": level,
                "coordinateTransformations": [
                    {"type": "scale", "scale": [f**k for f in half]},
                    {"type": "translation", "translation": [0.0] * len(axes)},
                ],
            }
            for k, level in enumerate(levels)
        ],
        "coordinateTransformations": [{"type": "scale", "scale": scale}],
    }


def ome_zarr(
    path: Path, version: int, axes: str = "tyx", pixels: Any = MOVIE, **attributes: Any
) -> Path:
    """Write a pyramid as other programs do: OME-Zarr 0.4 in zarr v2, 0.5 in zarr v3."""
    group = zarr.open_group(path, mode="w", zarr_format=version)  # type: ignore[arg-type]
    chunks = (*(1,) * (pixels.ndim - 2), *pixels.shape[-2:])
    group.create_array("0", data=pixels, chunks=chunks)
    group.create_array("1", data=pixels[..., ::2, ::2], chunks=chunks)
    images = [multiscale(axes, [1.0] * (pixels.ndim - 2) + [0.5, 0.25])]
    attributes = {"multiscales": images, **attributes}
    group.attrs.update(attributes if version == 2 else {"ome": {"version": "0.5", **attributes}})
    return path


# ------------------------------------------------------------------------ OME-Zarr


@pytest.mark.parametrize("version", [2, 3])
def test_ome_zarr_is_read_at_full_resolution(path: Path, version: int) -> None:
    ome_zarr(path, version)
    for place in (path, path / "0"):
        image = read_zarr(place)
        np.testing.assert_array_equal(image.pixels, MOVIE)
        assert (image.axes, image.pixel_size, image.unit) == ("TYX", (0.5, 0.25), "µm")
    level = read_zarr(path / "1")
    np.testing.assert_array_equal(level.pixels, MOVIE[..., ::2, ::2])
    assert level.pixel_size == (1.0, 0.5)


def test_ome_zarr_on_the_command_line(run, path: Path, tmp_path: Path) -> None:
    ome_zarr(path, 3)
    for source in (path, path / "0"):
        for out in ("out.tif", "out.zarr"):
            done = run(source, "-o", tmp_path / out, "--overwrite")
            assert done.exit_code == 0, done.output
            result: Any = (read_zarr if out.endswith("zarr") else read_tiff)(tmp_path / out)
            np.testing.assert_array_equal(result.pixels, 2 * MOVIE)
            assert (result.axes, result.pixel_size, result.unit) == ("TYX", (0.5, 0.25), "µm")
            assert result.history[-1]["source"] == source.name
    # The name does not matter
    plain = path.rename(tmp_path / "image")
    assert run(plain, "-o", tmp_path / "named.tif").exit_code == 0


def test_order_of_axes_in_ome_zarr_and_imagej(run, path: Path, tmp_path: Path) -> None:
    pixels = np.arange(2 * 3 * 4 * 40 * 36, dtype=np.float32).reshape(2, 3, 4, 40, 36)
    ome_zarr(path, 3, "tczyx", pixels)
    assert run(path, "-o", tmp_path / "out.tif").exit_code == 0
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert file.series[0].axes == "TCZYX" and file.is_ome
        np.testing.assert_array_equal(file.asarray(), 2 * pixels)
    assert read_tiff(tmp_path / "out.tif").pixel_size == (0.5, 0.25)
    hyperstack = tmp_path / "hyperstack.tif"
    tifffile.imwrite(hyperstack, pixels, imagej=True, metadata={"axes": "TZCYX"})
    assert run(hyperstack, "-o", tmp_path / "out.zarr").exit_code == 0
    result = read_zarr(tmp_path / "out.zarr")
    assert result.axes == "TCZYX"
    np.testing.assert_array_equal(result.pixels, 2 * pixels.swapaxes(1, 2))


def test_scale_of_all_axes_is_kept(path: Path) -> None:
    clean = path.with_name("clean.zarr")
    denoise_to_zarr(MOVIE, Counting(), clean, axes="ZYX", scale=(3, 2, 1), units=("um", "um", "um"))
    image = read_zarr(clean)
    assert (image.scale, image.units) == ((3, 2, 1), ("µm", "µm", "µm"))
    assert attributes_like(image)["scale"] == [3, 2, 1]
    image = read_zarr(clean / "0")
    assert (image.axes, image.scale) == ("ZYX", (3, 2, 1)) and len(image.history) == 1


def test_groups_without_a_single_image_are_refused(run, path: Path, tmp_path: Path) -> None:
    arrays = zarr.open_group(path, mode="w")
    arrays.create_array("a/raw", data=MOVIE)
    arrays.create_array("b", data=MOVIE)
    several = ome_zarr(tmp_path / "several.zarr", 3)
    zarr.open_group(several).attrs["ome"] = {
        "multiscales": [multiscale("tyx", [1, 1, 1], (level,)) for level in ("0", "1")]
    }
    plate = tmp_path / "plate.zarr"
    zarr.open_group(plate, mode="w", attributes={"ome": {"plate": {"wells": []}}})
    zarr.open_group(plate / "A", mode="w")
    zarr.open_group(plate / "A" / "1", mode="w", attributes={"ome": {"well": {"images": []}}})
    ome_zarr(plate / "A" / "1" / "0", 3)
    labels = ome_zarr(tmp_path / "labels.zarr", 3, **{"image-label": {}})
    empty = tmp_path / "empty.zarr"
    zarr.open_group(empty, mode="w")
    for source, message in (
        (path, f"name one of them, {path / 'a' / 'raw'}, {path / 'b'}"),
        (several, f"group of several images: name one of them, {several / '0'}, {several / '1'}"),
        (plate, f"plate: name one of them, {plate / 'A' / '1' / '0'}"),
        (plate / "A" / "1", f"well of a plate: name one of them, {plate / 'A' / '1' / '0'}"),
        (labels, "These are labels"),
        (empty, "holds no image"),
    ):
        done = run(source, "-o", tmp_path / "out.tif")
        assert done.exit_code == 2 and message in done.stderr and done.stderr.count("\n") == 1
    assert run(plate / "A" / "1" / "0", "-o", tmp_path / "out.tif").exit_code == 0


@pytest.mark.parametrize(
    "images",
    [
        [{"datasets": [{"path": "0"}]}],
        [{"datasets": [{"path": "0", "coordinateTransformations": 3}], "axes": "tyx"}],
        [{"datasets": [{"path": "0"}], "axes": [{"name": 3}, None, {}]}],
        [{"datasets": [{"path": "0"}], "axes": ["t", "y", "x"]}],
        [{"datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale"}]}]}],
        [7, {"datasets": [3, {"path": "0"}]}],
    ],
)
def test_invalid_metadata_do_not_prevent_reading(path: Path, images: Any) -> None:
    ome_zarr(path, 3)
    zarr.open_group(path).attrs["ome"] = {"version": "0.5", "multiscales": images}
    image = read_zarr(path)
    np.testing.assert_array_equal(image.pixels, MOVIE)
    assert (image.axes, image.pixel_size) == ("TYX", None)


def test_missing_level_is_named(run, path: Path, tmp_path: Path) -> None:
    ome_zarr(path, 3)
    zarr.open_group(path).attrs["ome"] = {"multiscales": [{"datasets": [{"path": "7"}]}]}
    done = run(path, "-o", tmp_path / "out.tif")
    assert done.exit_code == 2 and done.stderr.count("\n") == 1


# ------------------------------------------------------------------------ arrays


@pytest.mark.parametrize("places", ["dimension_names", "axes", "xarray", "ome"])
def test_rows_and_columns_are_moved_last(run, path: Path, tmp_path: Path, places: str) -> None:
    last = MOVIE.transpose(1, 2, 0)
    if places == "ome":
        ome_zarr(path, 3, "yxt", last)
    elif places == "dimension_names":
        zarr.create_array(path, data=last, dimension_names=("y", "x", "time"))
    else:
        attribute = {"axes": "YXT"} if places == "axes" else {"_ARRAY_DIMENSIONS": ["y", "x", "t"]}
        zarr.create_array(path, data=last, attributes=attribute, zarr_format=2)
    image = read_zarr(path)
    assert image.axes == "TYX"
    np.testing.assert_array_equal(image.pixels, MOVIE)
    assert run(path, "-o", tmp_path / "out.tif").exit_code == 0
    result = read_tiff(tmp_path / "out.tif")
    assert result.axes == "TYX"
    np.testing.assert_array_equal(result.pixels, 2 * MOVIE)


@pytest.mark.parametrize(
    "attributes",
    [
        {"axes": "---"},
        {"axes": 3},
        {"axes": ["t", 1, None]},
        {"scale": "a", "units": "b"},
        {"scale": [1, None, 1], "units": [1, 2, 3]},
        {"scale": [1, 0, float("inf")], "units": ["nm"] * 3},
        {"napari-lowdose": [1]},
        {"napari-lowdose": {"history": 3, "finished": "maybe"}},
        {"napari-lowdose": {"history": [3, None], "work": 1}},
        {"multiscales": 3, "ome": 4},
    ],
)
def test_invalid_attributes_do_not_prevent_reading(
    run, path: Path, tmp_path: Path, attributes: Any
) -> None:
    zarr.create_array(path, data=MOVIE)
    metadata = json.loads((path / "zarr.json").read_text())
    (path / "zarr.json").write_text(json.dumps({**metadata, "attributes": attributes}))
    image = read_zarr(path)
    assert (image.axes, image.pixel_size, image.history) == ("TYX", None, ())
    write_tiff(tmp_path / "out.tif", image.pixels, image, record={"engine": "none"})
    done = run(path, "-o", tmp_path / "out.zarr")
    assert done.exit_code == 0, done.output


def test_results_of_version_0_1_can_be_read(path: Path) -> None:
    record = {"engine": "Reucid"}
    attributes = {
        "axes": "TYX",
        "scale": [1.0, 0.5, 0.5],
        "units": ["pixel", "nm", "nm"],
        "napari-lowdose": {"work": "0123", "finished": True, "history": [record]},
    }
    zarr.create_array(
        path, data=MOVIE.astype(np.float32), chunks=(1, 40, 36), attributes=attributes
    )
    image = read_zarr(path)
    assert (image.axes, image.pixel_size, image.unit) == ("TYX", (0.5, 0.5), "nm")
    assert image.history == (record,)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("damage", ["garbage", "truncated", "empty", "missing"])
def test_damaged_chunk_is_named(run, path: Path, tmp_path: Path, damage: str, version: int) -> None:
    zarr.create_array(path, data=MOVIE, chunks=(1, 40, 20), zarr_format=version)  # type: ignore[arg-type]
    chunk = path / ("1.0.1" if version == 2 else "c/1/0/1")
    whole = chunk.read_bytes()
    if damage == "missing":
        chunk.unlink()
    else:
        chunk.write_bytes({"garbage": b"?", "empty": b"", "truncated": whole[:-9]}[damage])
    for out in ("out.tif", "out.zarr"):
        done = run(path, "-o", tmp_path / out)
        assert done.exit_code == 2 and done.stderr.count("\n") == 1
        assert "in.zarr: frame 2 of 3: the" in done.stderr
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.filterwarnings("ignore:no eigenpatch")  # in pure noise
def test_missing_chunk_behind_dask_raises_a_warning(path: Path) -> None:
    dask_array = pytest.importorskip("dask.array")
    zarr.create_array(path, data=MOVIE, chunks=(1, 40, 20))  # type: ignore[arg-type]
    whole = dask_array.from_zarr(path)[:2].astype(float) + 1
    assert missing_chunks(whole) is None
    (path / "c/1/0/1").unlink()
    with pytest.warns(UserWarning, match="1 of 6 chunks of in.zarr are missing and read as 0"):
        denoise(dask_array.from_zarr(path)[:2].astype(float) + 1, Reucid(patch_size=5))
    with pytest.warns(UserWarning) as caught:
        Stream(dask_array.from_zarr(path), Reucid(patch_size=5), path.parent / "out.zarr")
    assert len(caught) == 1  # the graph is searched only once


@pytest.mark.filterwarnings("ignore:no eigenpatch")  # in pure noise
def test_missing_chunk_is_named_with_every_engine(path: Path) -> None:
    array = zarr.create_array(path, data=MOVIE, chunks=(1, 40, 20))  # type: ignore[arg-type]
    (path / "c/1/0/1").unlink()
    with pytest.raises(ValueError, match="frame 2 of 3: the chunk c/1/0/1"):
        denoise(array, Reucid(patch_size=5))


@pytest.mark.parametrize(
    "index",
    [(), 1, -1, (2,), (..., slice(3, 9)), (1, ..., 3), (slice(None, None, 2), 0), (0, 1, 2)],
)
def test_zarr_frames_index_like_numpy(path: Path, index: Any) -> None:
    options = {"chunks": (1, 8, 9), "shards": (2, 16, 18)}
    array = as_zarr_frames(zarr.create_array(path, data=MOVIE, **options))  # type: ignore[arg-type]
    np.testing.assert_array_equal(array[index], MOVIE[index])
    np.testing.assert_array_equal(np.asarray(array), MOVIE)
    with pytest.raises(IndexError):
        array[3]


def test_frames_in_one_chunk_are_named_together(path: Path) -> None:
    zarr.create_array(path, data=MOVIE, chunks=(2, 40, 36))
    (path / "c/0/0/0").write_bytes(b"")
    with pytest.raises(ValueError, match=r"^frames 1 to 2 of 3: the zarr array is damaged"):
        np.asarray(read_zarr(path).pixels)


def test_unfinished_result_is_refused(run, path: Path, tmp_path: Path) -> None:
    from napari_lowdose import Stream
    from tests.streaming.test_stream import stopped_after

    stopped_after(Stream(MOVIE, Counting(), path), 1)
    for place in (path, path / "0"):
        done = run(place, "-o", tmp_path / "out.tif")
        assert done.exit_code == 2 and "not finished" in done.stderr


def test_command_line_never_replaces_its_input(run, tmp_path: Path) -> None:
    group = ome_zarr(tmp_path / "in.zarr", 3)
    zarr.create_array(tmp_path / "array.zarr", data=MOVIE)
    for source, target in (
        ("in.zarr/0", "in.zarr"),
        ("in.zarr", "in.zarr"),
        ("array.zarr", "array.zarr"),
        ("array.zarr", "array.zarr/clean.zarr"),
    ):
        done = run(tmp_path / source, "-o", tmp_path / target, "--overwrite")
        assert done.exit_code == 2 and "would replace the input" in done.stderr
        assert done.stderr.count("\n") == 1
    done = run(tmp_path / "array.zarr", "-o", group, "--overwrite")
    assert done.exit_code == 2 and "will not be replaced" in done.stderr
    np.testing.assert_array_equal(read_zarr(group).pixels, MOVIE)


def test_ctrl_c_keeps_the_old_result_and_names_the_new_one(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zarr.create_array(tmp_path / "in.zarr", data=MOVIE)
    out = tmp_path / "out.zarr"
    assert run(tmp_path / "in.zarr", "-o", out).exit_code == 0
    frames, whole = iter((True, False)), Doubler.frame_steps

    def stop(self: Any, frame: Any) -> Any:
        if not next(frames):
            raise KeyboardInterrupt
        yield from whole(self, frame)

    monkeypatch.setattr(Doubler, "frame_steps", stop)
    options = ("-o", out, "--overwrite", "--warn")
    done = run(tmp_path / "in.zarr", *options)
    assert done.exit_code == 130
    assert f"the finished frames are in {out}.napari-lowdose-part, the same" in done.stderr
    np.testing.assert_array_equal(read_zarr(out).pixels, 2 * MOVIE)
