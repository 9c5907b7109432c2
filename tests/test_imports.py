"""Importing the package is cheap, and everything but the widgets works without napari and Qt.

Which part may import which is held by import-linter (`make lint`, contracts in pyproject.toml).
"""

import subprocess
import sys
from pathlib import Path

import pytest

GUI = {"napari", "qtpy", "magicgui", "pyqtgraph", "superqt", "vispy"}
QT = {"PyQt5", "PyQt6", "PySide2", "PySide6"}

# Importing any of these raises ModuleNotFoundError, as where they are not installed
WITHOUT_NAPARI = f"""
import sys
sys.modules.update(dict.fromkeys({sorted(GUI | QT)}))
"""

API = """
import numpy as np
import napari_lowdose
from napari_lowdose import *

for name in napari_lowdose.__all__:
    getattr(napari_lowdose, name)

scene = np.random.default_rng(0).random((8, 8)).repeat(8, 0).repeat(8, 1)
first, second = simulate_pair(scene, photons=100, read_noise=1, seed=0)
assert np.isfinite(denoise(first, Reucid(patch_size=5))).all()
assert np.isfinite(denoise((first, second), Noise2Noise(epochs=0.01, device="cpu"))).all()
denoise_to_zarr(np.stack([first, second]), Reucid(patch_size=5), "clean.zarr")
"""

COMMAND_LINE = """
import numpy as np
import tifffile
from napari_lowdose.cli.app import main

tifffile.imwrite("noisy.tif", np.random.default_rng(0).poisson(9, (64, 64)).astype("uint16"))
sys.argv = ["napari-lowdose", "reucid", "noisy.tif", "-o", "clean.tif"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
assert tifffile.imread("clean.tif").shape == (64, 64)
"""


def run(code: str, folder: Path | None = None) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def loaded_by(module: str) -> set[str]:
    return set(run(f"import sys, {module}; print(*sys.modules)").split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = GUI | QT | {"dask", "scipy", "skimage", "tifffile", "torch", "zarr"}
    assert not loaded_by("napari_lowdose") & heavy


def test_importing_the_command_line_loads_no_torch() -> None:
    assert not loaded_by("napari_lowdose.cli.app") & (GUI | QT | {"torch"})


@pytest.mark.parametrize("code", [API, COMMAND_LINE], ids=["api", "command line"])
def test_works_without_napari_and_qt(code: str, tmp_path: Path) -> None:
    run(WITHOUT_NAPARI + code, tmp_path)
