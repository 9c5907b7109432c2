"""napari finds the plugin, whichever way it was installed."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import npe2
import pytest

ROOT = Path(__file__).parents[1]

ASK_NPE2 = """
import json, npe2, napari_lowdose
from pathlib import Path
plugins = npe2.PluginManager.instance()
plugins.discover()
manifest = plugins.get_manifest("napari-lowdose")
print(json.dumps({
    "package": napari_lowdose.__file__,
    "widgets": [widget.display_name for widget in manifest.contributions.widgets],
    "samples": [sample.display_name for sample in manifest.contributions.sample_data],
    "files": [path.name for path in Path(napari_lowdose.__file__).parent.rglob("*")],
}))
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a copy of what is built, so that the checkout stays clean."""
    copy = tmp_path / "source"
    leave_out = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", copy / "src", ignore=leave_out)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    return copy


@pytest.fixture
def fresh_python(tmp_path: Path) -> Path:
    """Return the Python of a new environment that sees our dependencies, but not this checkout."""
    venv.create(tmp_path / "env", with_pip=False, symlinks=os.name != "nt")
    scheme = {"base": str(tmp_path / "env"), "platbase": str(tmp_path / "env")}
    site_packages = Path(sysconfig.get_path("purelib", "venv", scheme))
    # A .pth file's directories are added without reading the .pth files in them: our own
    # editable install stays out.
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Path(sysconfig.get_path("scripts", "venv", scheme)) / "python"


def pip(*arguments: object) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def ask_npe2(python: Path) -> dict[str, Any]:
    # Without the PYTHONPATH of whoever runs the tests, which may name this checkout
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", ASK_NPE2],
        capture_output=True,
        text=True,
        cwd=python.parent,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("editable", [False, True], ids=["wheel", "editable"])
def test_npe2_finds_the_manifest(
    source: Path, fresh_python: Path, tmp_path: Path, editable: bool
) -> None:
    quick = ["--no-deps", "--no-build-isolation", "--quiet"]
    if editable:
        pip("--python", fresh_python, "install", *quick, "--editable", source)
    else:
        pip("wheel", *quick, "--wheel-dir", tmp_path, source)
        (wheel,) = tmp_path.glob("*.whl")
        shutil.rmtree(source)  # nothing may be found there any more
        pip("--python", fresh_python, "install", *quick, wheel)

    found = ask_npe2(fresh_python)

    assert Path(found["package"]).is_relative_to(source if editable else tmp_path / "env")
    assert found["widgets"] == [
        "Denoise one image (REUCID)",
        "Denoise a pair (Noise2Noise)",
        "Split camera frame",
        "Denoise live",
    ]
    assert found["samples"] == [
        "Low-dose STEM",
        "Low-dose STEM pair",
        "Low-dose nuclei pair",
        "Beamsplitter frame",
        "Beamsplitter movie",
    ]
    # What is loaded at run time travels along
    files = set(found["files"])
    assert {"classifier.safetensors", "__init__.pyi", "py.typed", "napari.yaml"} <= files
    assert any(name.endswith(".tif") for name in files)


def test_the_manifest_is_at_the_root_and_valid() -> None:
    manifest = npe2.PluginManifest.from_file(ROOT / "napari.yaml")
    manifest.validate_imports()


def test_a_plain_install_into_napari_lacks_nothing() -> None:
    # napari's plugin installer installs no extras: what our extra adds must come with napari
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = names(project["optional-dependencies"]["napari"])
    assert extra - {"napari"} <= names(requires("napari") or [])
    assert not extra & names(project["dependencies"])


def names(requirements: list[str]) -> set[str]:
    return {
        re.split(r"[^\w.-]", line, maxsplit=1)[0].lower()
        for line in requirements
        if "extra ==" not in line
    }
