import dataclasses
import json

import numpy as np
import pytest

from napari_lowdose import samples, split_frame
from napari_lowdose.pairs.split_layout import SplitLayout


@pytest.fixture(scope="module")
def frame():
    return samples.beamsplitter_frame()[0]


@pytest.fixture(scope="module")
def layout(frame):
    return split_frame(frame)[2]


@pytest.mark.parametrize("changes", [{}, {"mirrored": "x"}, {"distortion": None}])
def test_a_loaded_layout_splits_as_the_saved_one(frame, layout, changes, tmp_path):
    saved = dataclasses.replace(layout, **changes)
    saved.save(tmp_path / "splitter.json")
    loaded = SplitLayout.load(tmp_path / "splitter.json")
    assert loaded == saved
    for one, other in zip(loaded.split(frame), saved.split(frame), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_file_is_readable_by_others(layout, tmp_path):
    layout.save(tmp_path / "splitter.json")
    about = json.loads((tmp_path / "splitter.json").read_text(encoding="utf-8"))
    assert (about["format"], about["version"]) == ("napari-lowdose beamsplitter layout", 1)
    assert about["regions"][0] == list(layout.regions[0])


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"[1, 2]", b'{"format": "other"}', b"[" * 100000, b" " * 2**21]
)
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"other\.json is not the layout of a beamsplitter"):
        SplitLayout.load(path)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("regions", [[0, 10, 0, 10], [0, 10, 10, 2000]], "within the frame"),
        ("regions", [[0, 10, 0, 10], [0, 10, 10, 21]], "differ in size"),
        ("regions", None, "damaged"),
        ("mirrored", "z", "mirrored must be one of"),
        ("fraction", [0.1, float("nan")], "fraction is not two numbers"),
        ("gain", 0, "gain is 0"),
        ("gain", "much", "gain is not a number"),
        ("shape", [344], "shape has 1 numbers"),
        ("distortion", {"rotation": 1.0}, "damaged"),
    ],
)
def test_damaged_files_are_refused(layout, tmp_path, name, value, reason):
    path = tmp_path / "splitter.json"
    layout.save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    with pytest.raises(ValueError, match=reason) as error:
        SplitLayout.load(path)
    assert "measure the layout again" in str(error.value)


def test_a_newer_format_is_refused(layout, tmp_path):
    path = tmp_path / "splitter.json"
    layout.save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 2}))
    with pytest.raises(ValueError, match="upgrade napari-lowdose"):
        SplitLayout.load(path)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        SplitLayout.load(tmp_path / "none.json")
