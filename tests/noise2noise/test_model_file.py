"""Saving and loading a network is exact; any other file is refused with one sentence."""

import contextlib
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from napari_lowdose import Noise2NoiseModel, denoise, denoise_steps
from napari_lowdose.io import atomic

Header = dict[str, Any]


@pytest.fixture(scope="module")
def content(model: Noise2NoiseModel, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("model") / "network.safetensors"
    model.save(path)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "network.safetensors"
    path.write_bytes(content)
    return path


def parts(content: bytes) -> tuple[Header, bytes]:
    """Split a safetensors file into header and data."""
    (n,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + n]), content[8 + n :]


def together(header: Header, numbers: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + numbers


def described(content: bytes, change: Callable[[Header], None]) -> bytes:
    """Change the description of the network in the file."""
    header, numbers = parts(content)
    about = json.loads(header["__metadata__"]["model"])
    change(about)
    header["__metadata__"]["model"] = json.dumps(about)
    return together(header, numbers)


def refused(path: Path) -> str:
    """Return the error message for a file."""
    with pytest.raises(ValueError) as caught:
        Noise2NoiseModel.load(path)
    sentence = str(caught.value)
    assert path.name in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


def test_round_trip(model: Noise2NoiseModel, path: Path, pair: Any) -> None:
    loaded = Noise2NoiseModel.load(path)
    assert loaded.architecture == model.architecture
    assert loaded.record == json.loads(json.dumps(model.record))
    for name in (
        "offset",
        "scale",
        "match",
        "pair_calibration",
        "single_calibration",
        "value_range",
        "shift",
        "use",
    ):
        assert getattr(loaded, name) == getattr(model, name)
    assert set(loaded.weights) == set(model.weights)
    for name, weight in model.weights.items():
        assert np.array_equal(loaded.weights[name], weight)
    one, two = (denoise((pair.first, pair.second), each) for each in (model, loaded))
    assert np.array_equal(one, two)


def test_record_allows_reproduction(path: Path) -> None:
    """The record is sufficient to repeat the training years later."""
    record = Noise2NoiseModel.load(path).record
    assert record["parameters"]["seed"] == 0
    assert record["n_steps"] == 40
    assert record["pairs"] == {"n": 1, "shape": [96, 96], "dtype": "float32"}
    assert {"torch", "numpy", "napari-lowdose", "python"} <= set(record["versions"])
    assert len(record["gain_db"]) == 2
    assert 0 < record["validation_loss"] < 1


def test_file_has_no_pickle_and_is_small(content: bytes, model: Noise2NoiseModel) -> None:
    header, numbers = parts(content)
    assert len(numbers) == sum(w.nbytes for w in model.weights.values())
    assert content[:2] != b"PK"
    assert b"cpickle" not in content.lower()
    assert header["__metadata__"]["format"] == "napari-lowdose noise2noise"


def test_file_does_not_contain_local_paths(content: bytes) -> None:
    assert str(Path.home()).encode() not in content
    assert str(Path.cwd()).encode() not in content


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Noise2NoiseModel.load(tmp_path / "nothing.safetensors")
    with pytest.raises(OSError):
        Noise2NoiseModel.load(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.999])
def test_truncated_file(path: Path, content: bytes, share: float) -> None:
    path.write_bytes(content[: int(share * len(content))])
    assert "damaged" in refused(path)


def test_not_a_safetensors_file(path: Path) -> None:
    for other in (b"", b"hello", b"PK\3\4" * 99, b"\xff" * 99, b"II*\0" + bytes(999)):
        path.write_bytes(other)
        assert "damaged, or not a network" in refused(path)


def test_foreign_safetensors_file(path: Path) -> None:
    path.write_bytes(save({"weight": np.zeros((3, 3), np.float32)}))
    assert "not a napari-lowdose model" in refused(path)


@pytest.mark.parametrize("version", ["3", "10", "", "one", "²", "9" * 9999, "-1", "1.5"])
def test_newer_format(path: Path, content: bytes, version: str) -> None:
    header, numbers = parts(content)
    header["__metadata__"]["version"] = version
    path.write_bytes(together(header, numbers))
    assert "upgrade napari-lowdose" in refused(path)


def test_huge_file_is_refused_unread(path: Path) -> None:
    """The file is refused without reading it."""
    with open(path, "r+b") as file:
        file.truncate(3 * 2**30)  # sparse
    assert "3.0 GiB: not a napari-lowdose model" in refused(path)


def test_missing_metadata(path: Path, content: bytes) -> None:
    header, numbers = parts(content)
    del header["__metadata__"]["model"]
    path.write_bytes(together(header, numbers))
    assert "description cannot be read" in refused(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '"x"', "[" * 10**5, "{}"])
def test_invalid_description(path: Path, content: bytes, text: str) -> None:
    header, numbers = parts(content)
    header["__metadata__"]["model"] = text
    path.write_bytes(together(header, numbers))
    assert "description cannot be read" in refused(path)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("scale",), 0),
        (("scale",), -1.0),
        (("scale",), float("nan")),
        (("offset",), "7"),
        (("offset",), 10**400),
        (("offset",), 1e300),
        (("offset",), None),
        (("offset",), True),
        (("both",), [1.0]),
        (("both",), [1.0, 2.0, 3.0]),
        (("one",), "ab"),
        (("value_range",), [0.0, float("inf")]),
        (("value_range",), [1.0, 0.0]),
        (("value_range",), {"low": 0, "high": 1}),
        (("shift",), [0.0, 5.0]),
        (("use",), "second"),
        (("normalise",), "yes"),
        (("normalise",), 1),
        (("orientations",), 3),
        (("orientations",), [8]),
        (("orientations",), True),
        (("pixel_size",), "small"),
        (("pixel_size",), [0.1, -1, 3]),
        (("pixel_size",), [0.1, float("nan")]),
        (("pixel_unit",), 5),
        (("record",), [1, 2]),
        (("record", "exposures"), 5),
        (("record", "exposures"), {"mean": 1.0}),
        (("record", "exposures"), {"mean": 1.0, "std": "1", "noise": 1.0}),
        (("record", "exposures"), {"mean": 1.0, "std": -1.0, "noise": 1.0}),
        (("record", "n_steps"), "many"),
        (("record", "n_steps"), 10**40),
        (("record", "epochs"), "many"),
        (("record", "gain_db"), 7.0),
        (("record", "gain_db"), ["low", "high"]),
        (("record", "gain_db"), [1.0, float("nan")]),
        (("record", "continued_from"), [{"epochs": None}]),
        (("record", "note"), float("inf")),
        (("match", "gain"), 0),
        (("match", "gain"), "1.0"),
        (("match", "gain"), [1.0]),
        (("match", "gain"), float("inf")),
        (("match", "error"), "small"),
        (("match", "error"), float("nan")),
        (("match",), [1.0, 0.0]),
        (("match", "offset"), None),
        (("match", "more"), 1),
        (("architecture", "width"), 10**9),
        (("architecture", "width"), 0),
        (("architecture", "levels"), 60),
        (("architecture", "levels"), 1.5),
        (("architecture", "unshuffle"), 0),
        (("architecture", "smoothing"), 8),
        (("architecture", "smoothing"), 10**9 + 1),
        (("architecture", "batch_norm"), "yes"),
        (("architecture", "learning_rate"), "fast"),
        (("architecture", "batch_size"), 10**9),
        (("architecture", "steps"), -1),
        (("architecture", "crop_size"), 0),
        (("architecture", "bias"), True),
    ],
)
def test_description_with_invalid_values(
    path: Path, content: bytes, keys: tuple[str, ...], value: object
) -> None:
    def change(about: Header) -> None:
        *outer, last = keys
        for key in outer:
            about = about[key]
        about[last] = value

    path.write_bytes(described(content, change))
    assert "description cannot be read" in refused(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("width", 8), ("levels", 1), ("width", 8192 // 4), ("batch_norm", False), ("smoothing", 0)],
)
def test_weights_of_another_architecture(
    path: Path, content: bytes, name: str, value: object
) -> None:
    """Large networks are refused without allocating them."""
    path.write_bytes(described(content, lambda about: about["architecture"].update({name: value})))
    assert "weights do not match" in refused(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_weights(
    model: Noise2NoiseModel, path: Path, content: bytes, bad: float
) -> None:
    weights = {name: np.array(w) for name, w in model.weights.items()}
    weights["last.weight"].flat[3] = bad
    path.write_bytes(save(weights, parts(content)[0]["__metadata__"]))
    assert "NaN or infinite" in refused(path)


@pytest.mark.parametrize(("name", "bad"), [("last.bias", 1e39), ("first.1.running_var", -1.0)])
def test_weights_that_cannot_be_applied(
    model: Noise2NoiseModel, path: Path, content: bytes, name: str, bad: float
) -> None:
    """Weights that are finite in the file, but infinite or NaN in the network."""
    weights = {each: np.array(w) for each, w in model.weights.items()}
    weights[name] = np.full_like(weights[name], bad, dtype=float if bad > 1e38 else None)
    path.write_bytes(save(weights, parts(content)[0]["__metadata__"]))
    assert "damaged" in refused(path)


def test_a_file_of_version_0_1_0(path: Path, content: bytes) -> None:
    """Descriptions of version 0.1.0 have no pixel size."""

    def change(about: Header) -> None:
        del about["pixel_size"], about["pixel_unit"]

    path.write_bytes(described(content, change))
    assert Noise2NoiseModel.load(path).pixel_size is None


def test_devices_and_pipes_are_refused_unread(tmp_path: Path) -> None:
    """Reading a pipe would block, and reading a device would never end."""
    os.mkfifo(tmp_path / "pipe.safetensors")
    assert "not a napari-lowdose model" in refused(tmp_path / "pipe.safetensors")
    assert "not a napari-lowdose model" in refused(Path("/dev/zero"))
    (tmp_path / "link.safetensors").symlink_to("/dev/zero")
    assert "not a napari-lowdose model" in refused(tmp_path / "link.safetensors")
    with pytest.raises(IsADirectoryError, match="not a napari-lowdose model"):
        Noise2NoiseModel.load(tmp_path)


@pytest.mark.parametrize("length", [2**23, 2**40, 2**64 - 1])
def test_long_header_is_refused_unread(path: Path, content: bytes, length: int) -> None:
    path.write_bytes(struct.pack("<Q", length) + content[8:])
    with open(path, "r+b") as file:
        file.truncate(2**26)  # sparse
    assert "damaged, or not a network" in refused(path)


@pytest.mark.parametrize("wrong", [None, 0, b"model", ["a"]])
def test_invalid_path(wrong: object) -> None:
    with pytest.raises(ValueError, match="loaded from the path of its file"):
        Noise2NoiseModel.load(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["BF16", "F16", "I16", "U16", "F8_E4M3"])
def test_weights_of_another_dtype(path: Path, content: bytes, dtype: str) -> None:
    """NumPy does not have some of these dtypes."""
    header, _ = parts(content)
    about = header["__metadata__"]
    size = 1 if dtype.startswith("F8") else 2
    entries: Header = {"__metadata__": about}
    position = 0
    for name, entry in header.items():
        if name != "__metadata__":
            n = int(np.prod(entry["shape"], dtype=int)) * size
            entries[name] = {**entry, "dtype": dtype, "data_offsets": [position, position + n]}
            position += n
    path.write_bytes(together(entries, bytes(position)))
    refused(path)


positions = st.lists(st.integers(0, 2**16), min_size=1, max_size=4)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=positions, byte=st.integers(0, 255), in_header=st.booleans())
def test_random_damage_is_reported(
    path: Path, content: bytes, at: list[int], byte: int, in_header: bool
) -> None:
    (n,) = struct.unpack("<Q", content[:8])
    damaged = bytearray(content)
    for position in at:
        damaged[position % (n + 8 if in_header else len(content))] = byte
    path.write_bytes(damaged)
    try:
        model = Noise2NoiseModel.load(path)
    except (ValueError, OSError) as error:
        assert path.name in str(error)
        return
    assert all(np.isfinite(w).all() for w in model.weights.values())


wild = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), value=wild)
def test_random_description_is_loaded_or_refused(
    path: Path, content: bytes, pair: Any, data: st.DataObject, value: object
) -> None:
    def change(about: Header) -> None:
        while True:
            key = data.draw(st.sampled_from(sorted(about)))
            if not isinstance(about[key], dict) or data.draw(st.booleans()):
                about[key] = value
                return
            about = about[key]
            if not about:
                return

    path.write_bytes(described(content, change))
    try:
        model = Noise2NoiseModel.load(path)
    except (ValueError, OSError) as error:
        assert path.name in str(error)
        return
    # What is read can be used: the result is finite, or there is none
    with contextlib.suppress(UserWarning):  # of an image unlike those it was trained on
        try:
            *_, last = denoise_steps(pair.first[:32, :32], model)
        except ValueError as error:
            assert "not finite" in str(error)
        else:
            assert np.isfinite(last.image).all()


def test_full_disk_keeps_the_existing_file(
    path: Path, content: bytes, model: Noise2NoiseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        model.save(path)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_saving_twice_gives_the_same_file(path: Path, content: bytes) -> None:
    Noise2NoiseModel.load(path).save(path)
    header, numbers = parts(path.read_bytes())
    before, numbers_before = parts(content)
    assert numbers == numbers_before
    about, about_before = (json.loads(h["__metadata__"]["model"]) for h in (header, before))
    assert about == about_before


def test_missing_folder(tmp_path: Path, model: Noise2NoiseModel) -> None:
    with pytest.raises(OSError):
        model.save(tmp_path / "missing" / "network.safetensors")
