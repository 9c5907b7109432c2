"""Every example runs, quickly and without a screen, in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
# What makes it quick, what it prints, and which files it leaves
RUNS: dict[str, tuple[list[str], str, set[str]]] = {
    "reucid_script.py": ([], "REUCID: PSNR", set()),
    "noise2noise_script.py": (["2"], "pair, denoised: PSNR", {"stem.safetensors"}),
    "movie_script.py": (["1"], "100% frame 47", {"cells.zarr"}),
    "headless_viewer.py": (["1"], "'first REUCID', 'first NOISE2NOISE'", set()),
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


def test_every_example_is_tested() -> None:
    found = {path.name for path in EXAMPLES.glob("*.py")}
    assert found <= set(RUNS)


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_the_example_runs(name: str, tmp_path: Path) -> None:
    arguments, says, files = RUNS[name]
    screens = ("DISPLAY", "WAYLAND_DISPLAY")
    environment = {key: value for key, value in os.environ.items() if key not in screens}
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert says in done.stdout
    assert all((tmp_path / file).exists() for file in files)
