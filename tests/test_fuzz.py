"""Odd inputs through the API and the command line: a finite result, or one sentence.

One property: a result that is finite and in the units of the input, or one sentence; never a
traceback, and no change of an array or file that was not asked for.  ``FUZZ_EXAMPLES=2000`` tries
so many other examples at random.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from napari_lowdose import Noise2Noise, Noise2NoiseModel, Reucid, denoise
from napari_lowdose.cli import app as cli
from napari_lowdose.io.tiff import read_tiff
from napari_lowdose.io.zarr_folder import read_zarr

N = int(os.environ.get("FUZZ_EXAMPLES", "0"))


def fuzz(max_examples: int) -> settings:
    return settings(
        max_examples=N or max_examples,
        derandomize=not N,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # to shrink costs minutes, and a description is short already
        suppress_health_check=list(HealthCheck),
    )


DTYPES = ("u1", "i1", "u2", "i2", ">u2", "i4", "u8", "f2", "f4", ">f4", "f8", "?", "c8")
SHAPES = (
    (40, 44),
    (64, 33),
    (3, 40, 36),
    (2, 1, 34, 36),
    (8, 9),
    (5, 40),
    (40, 40, 3),
    (0, 40),
    (7,),
)
SCALES = (1e-20, 1e-6, 0.02, 1.0, 30.0, 1e4, 1e18)
OFFSETS = (0.0, -5.0, 100.0, 1e7)
SPOILT = (
    "outliers",
    "hot",
    "nan",
    "inf",
    "constant",
    "black rows",
    "black frame",
    "info bar",
    None,
)
LAYOUTS = ("C", "F", "reversed", "strided", "read only")
LIBRARIES = ("numpy", "numpy", "dask", "zarr", "list", "torch", "masked")


def image_specs() -> st.SearchStrategy[dict[str, Any]]:
    """Describe an image, or something that is none; small, so that a failure can be read."""
    return st.fixed_dictionaries(
        {
            "shape": st.sampled_from(SHAPES),
            "dtype": st.sampled_from(DTYPES),
            "scale": st.sampled_from(SCALES),
            "offset": st.sampled_from(OFFSETS),
            "spoilt": st.sampled_from(SPOILT),
            "layout": st.sampled_from(LAYOUTS),
            "library": st.sampled_from(LIBRARIES),
            "seed": st.integers(0, 99),
        }
    )


def pixels(spec: dict[str, Any]) -> np.ndarray:
    shape, dtype = spec["shape"], np.dtype(spec["dtype"])
    rng = np.random.default_rng(spec["seed"])
    y, x = np.indices(shape)[-2:] if len(shape) > 1 else np.zeros((2, *shape))
    counts = rng.poisson(9 + 6 * np.sin(x / 2) * np.sin(y / 3))
    image = np.asarray(counts * spec["scale"] + spec["offset"], np.float64)
    if image.size:
        top = float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1e4 * np.abs(image).max()
        spoil(image, spec["spoilt"], rng.random(shape) < 5e-3, top)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dtype.kind in "iu":
            info = np.iinfo(dtype)
            image = np.clip(np.nan_to_num(image), float(info.min), float(info.max) * (1 - 1e-15))
        return image.astype(dtype)


def spoil(image: np.ndarray, how: str | None, some: np.ndarray, top: float) -> None:
    if how == "outliers":
        image[some] = top
    elif how == "hot":
        image[(0,) * image.ndim] = top
    elif how in ("nan", "inf"):
        image[some] = float(how)
    elif how == "constant":
        image[:] = image.flat[0]
    elif how == "black rows":
        image[..., ::5] = 0
    elif how == "black frame":
        image[0] = 0
    elif how == "info bar":
        image[..., -max(1, image.shape[-1] // 8) :] = image.max()


def given_image(spec: dict[str, Any]) -> tuple[Any, np.ndarray]:
    """Return an image in the array of some library, and its pixels."""
    image = pixels(spec)
    layout = spec["layout"]
    if layout == "F":
        image = np.asfortranarray(image)
    elif layout == "reversed":
        image = image[..., ::-1]
    elif layout == "strided":
        image = np.repeat(image, 2, axis=-1)[..., ::2]
    elif layout == "read only":
        image.flags.writeable = False
    return in_library(image, spec["library"]), image


def in_library(image: np.ndarray, library: str) -> Any:
    if library == "dask":
        import dask.array as da

        return da.from_array(image, chunks=-1)
    if library == "zarr" and image.size and image.dtype.isnative:
        import zarr

        return zarr.array(np.ascontiguousarray(image))
    if library == "list":
        return image.tolist()
    if library == "torch" and image.dtype.isnative:
        import torch

        return torch.from_numpy(image.copy())
    if library == "masked" and image.ndim == 2 and image.size:
        return np.ma.masked_array(image, mask=image == image.max())
    return image


@pytest.fixture(scope="module")
def network() -> Noise2NoiseModel:
    y, x = np.mgrid[:64, :64]
    rng = np.random.default_rng(0)
    first, second = rng.poisson(9 + 6 * np.sin(x / 2) * np.sin(y / 3), (2, 64, 64))
    return Noise2Noise(preset="fast", epochs=1, device="cpu").train(first, second)


def check_sentence(error: ValueError) -> None:
    text = str(error)
    assert text and "\n" not in text and len(text) < 500, text


def check_result(result: Any, image: np.ndarray, *, in_units: bool = True) -> None:
    result = np.asarray(result)
    assert result.dtype == np.float32
    assert result.shape == image.shape
    assert np.isfinite(result).all()
    if in_units:
        low, high = float(image.min()), float(image.max())
        spare = high - low + 1e-5 * max(abs(low), abs(high))
        assert low - spare <= result.min() and result.max() <= high + spare


@fuzz(100)
@given(
    spec=image_specs(),
    engine=st.sampled_from([Reucid(patch_size=5), Reucid(), Reucid(patch_size=7, n_stacks=2)]),
)
def test_reucid_denoises_or_says_why_not(spec: dict[str, Any], engine: Reucid) -> None:
    given, image = given_image(spec)
    before = image.tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            result = np.asarray(denoise(given, engine))
        except ValueError as error:
            check_sentence(error)
        else:
            check_result(result, image)
    assert image.tobytes() == before


@fuzz(50)
@given(spec=image_specs(), both=st.booleans())
def test_a_network_denoises_or_says_why_not(
    network: Noise2NoiseModel, spec: dict[str, Any], both: bool
) -> None:
    given, image = given_image(spec)
    before = image.tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            result = np.asarray(denoise((given, given) if both else given, network))
        except ValueError as error:
            check_sentence(error)
        else:
            check_result(result, image, in_units=False)
    assert image.tobytes() == before


@fuzz(15)
@given(spec=image_specs(), changes=image_specs(), alike=st.booleans())
def test_a_pair_trains_a_network_or_says_why_not(
    spec: dict[str, Any], changes: dict[str, Any], alike: bool
) -> None:
    engine = Noise2Noise(preset="fast", epochs=0.02, device="cpu", width=4)
    one, image = given_image(spec)
    other, _ = given_image({**spec, "seed": spec["seed"] + 1} if alike else changes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            result = np.asarray(denoise((one, other), engine))
        except ValueError as error:
            check_sentence(error)
        else:
            check_result(result, image, in_units=False)


# -------------------------------------------------------------------- the command line


TIFFS: dict[str, dict[str, Any]] = {
    "plain.tif": {},
    "big.btf": {"bigtiff": True},
    "image j.tif": {"imagej": True, "resolution": (4, 4), "metadata": {"unit": "nm"}},
    "ö.ome.tif": {"ome": True, "metadata": {"PhysicalSizeX": 0.2, "PhysicalSizeXUnit": "nm"}},
    "zip.tiff": {"compression": "zlib", "predictor": True},
    "tiles.tif": {"tile": (16, 16)},
    "no ending": {"photometric": "minisblack"},
}
OUTPUTS = ("out.tif", "out.ome.tif", "out.zarr", "results", "nowhere/deep/out.tif")


def file_specs() -> st.SearchStrategy[dict[str, Any]]:
    """Describe a file: its name, its content, and how it is damaged."""
    image = st.fixed_dictionaries(
        {
            "name": st.sampled_from([*TIFFS, "array.zarr"]),
            "image": image_specs(),
            "damage": st.sampled_from([None, None, "cut", "bytes"]),
            "seed": st.integers(0, 99),
        }
    )
    other = st.fixed_dictionaries(
        {"name": st.sampled_from(["x.tif", "notes.txt", "y.zarr"]), "content": st.binary()}
    )
    return st.one_of(image, image, image, image, other)


def write(folder: Path, spec: dict[str, Any]) -> Path | None:
    """Write an input file; None if its format cannot hold it."""
    path = folder / spec["name"]
    if "content" in spec:
        path.write_bytes(spec["content"])
        return path
    image = pixels(spec["image"])
    if path.suffix == ".zarr":
        import zarr

        if not image.size:
            return None
        native = image.astype(image.dtype.newbyteorder("="))
        zarr.save_array(str(path), native)
        return path
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tifffile.imwrite(path, image, **TIFFS[spec["name"]])
    except Exception:
        return None
    if spec["damage"]:
        damage(path, spec["damage"], np.random.default_rng(spec["seed"]))
    return path


def damage(path: Path, how: str, rng: np.random.Generator) -> None:
    data = bytearray(path.read_bytes())
    if how == "cut":
        del data[int(len(data) * rng.random()) :]
    else:
        for at in rng.integers(0, min(len(data), 700), 8):
            data[at] = rng.integers(256)
    path.write_bytes(bytes(data))


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@fuzz(50)
@given(
    spec=file_specs(),
    output=st.sampled_from(OUTPUTS),
    before=st.booleans(),
    overwrite=st.booleans(),
    command=st.sampled_from(["reucid", "reucid", "apply", "split", "pair"]),
)
def test_the_command_line_denoises_or_says_why_not(
    network: Noise2NoiseModel,
    spec: dict[str, Any],
    output: str,
    before: bool,
    overwrite: bool,
    command: str,
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        source, target = write(folder, spec), folder / output
        if source is None:
            return
        if before and output in ("out.tif", "out.ome.tif"):
            tifffile.imwrite(target, np.ones((8, 8), np.uint8))
        network.save(folder / "network.safetensors")
        there = contents(folder)
        arguments = {
            "reucid": [source, "-o", target, "--patch-size", "5"],
            "apply": [folder / "network.safetensors", source, "-o", target],
            "split": [source, "-o", target],
            "pair": [source, source, "-o", target, "--epochs", "0.02", "--width", "4"],
        }[command]
        options = ["--overwrite"] if overwrite else []
        done = CliRunner().invoke(cli.app, [command, *map(str, arguments), *options])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
        assert done.exit_code in (0, 2)
        for line in done.stderr.splitlines():
            assert line.startswith("napari-lowdose: "), done.stderr
        after = contents(folder)
        changed = {name for name in there if there[name] != after.get(name)}
        new = set(after) - set(there)
        if done.exit_code:
            assert done.stderr
            assert not changed and not new, (changed, new, done.stderr)
        else:
            assert changed <= ({output} if overwrite else set())
            check_outputs(folder, new | changed)


def check_outputs(folder: Path, names: set[str]) -> None:
    """Check that what was written can be read, and is finite."""
    assert names
    for top in {name.partition("/")[0] for name in names}:
        paths = [folder / top]
        if paths[0].is_dir() and paths[0].suffix != ".zarr":
            paths = [path for path in paths[0].rglob("*") if path.is_file()]
        for path in paths:
            image = read_zarr(path) if path.is_dir() else read_tiff(path)
            assert np.isfinite(np.asarray(image.pixels)).all()


def test_an_engine_with_other_weights_is_no_other_kind_of_engine(network: Noise2NoiseModel) -> None:
    """Weights of infinity give no image of NaN."""
    weights = {name: np.full_like(array, np.inf) for name, array in network.weights.items()}
    image = np.random.default_rng(0).poisson(9, (40, 40))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with pytest.raises(ValueError, match="finite"):
            denoise(image, replace(network, weights=weights))
