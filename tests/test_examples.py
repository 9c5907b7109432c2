"""Every example runs, quickly and without a screen, in a folder of its own."""

from __future__ import annotations

import runpy
import sys
from functools import partial
from pathlib import Path

import pytest

from napari_lowdose import noise2noise, samples

EXAMPLES = Path(__file__).parents[1] / "examples"
# What makes it quick, what it prints, and which files it leaves
RUNS: dict[str, tuple[list[str], str, set[str]]] = {
    "reucid_script.py": ([], "REUCID: PSNR", set()),
    "noise2noise_script.py": (["2"], "pair, denoised: PSNR", {"stem.safetensors"}),
    "movie_script.py": (["1"], "100% frame 11", {"cells.zarr"}),
    "headless_viewer.py": (["1"], "'first REUCID', 'first NOISE2NOISE'", set()),
    "demo_live.py": (["--seconds", "2"], "ms behind the camera", set()),
    "live_layer.py": (["3"], "frame 2: ", set()),
    "live_camera.py": (["5"], "ms after it arrived", {"live_raw.zarr", "live_clean.zarr"}),
    "live_folder.py": (["2"], "scan4.tif: ", {"clean.zarr", "scans/scan1.tif"}),
    "split_script.py": (["1"], "shift", set()),
    "demo.py": (
        ["--seconds", "1"],
        "Noise2Noise: 256 x 256 pixels",
        {
            "demo/stem_low_dose_before_after.png",
            "demo/stem_low_dose_reucid.tif",
            "demo/stem_pair_before_after.png",
            "demo/stem_pair_network.safetensors",
            "demo/stem_pair_noise2noise.tif",
        },
    ),
}
NEEDS = {"live_camera.py": ("pymmcore_plus", "mm_test_adapters")}


def test_every_example_is_tested() -> None:
    found = {path.name for path in EXAMPLES.glob("*.py")}
    assert found <= set(RUNS)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the movies and narrow the networks; epochs and seconds are arguments of a script."""
    monkeypatch.setattr(
        samples, "beamsplitter_movie", partial(samples.beamsplitter_movie, n_frames=12)
    )
    narrow = partial(noise2noise.Noise2Noise, width=4, fallback=False)
    monkeypatch.setattr("napari_lowdose.Noise2Noise", narrow, raising=False)


@pytest.mark.usefixtures("quick")
@pytest.mark.filterwarnings("ignore:the (rows|columns) differ")  # in the demonstration camera
@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_the_example_runs(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments, printed, files = RUNS[name]
    for module in NEEDS.get(name, ()):
        pytest.importorskip(module)
    for screen in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(screen, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    assert printed in capsys.readouterr().out
    assert all((tmp_path / file).exists() for file in files)
