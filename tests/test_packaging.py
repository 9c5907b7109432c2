"""napari finds the plugin, whichever way it was installed."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import npe2
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
MANIFEST = ROOT / "src" / "napari_lowdose" / "widgets" / "manifest" / "napari.yaml"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
QT = {"pyqt5", "pyqt6", "pyside2", "pyside6", "pyside6-essentials"}
# Names of conda-forge that are not those of PyPI
CONDA = {"dask": "dask-core", "docstring-parser": "docstring_parser", "torch": "pytorch"}

ASK_NPE2 = """
import json, npe2, napari_lowdose
from importlib.metadata import version
from pathlib import Path
plugins = npe2.PluginManager.instance()
plugins.discover()
manifest = plugins.get_manifest("napari-lowdose")
print(json.dumps({
    "package": napari_lowdose.__file__,
    "version": version("napari-lowdose"),
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
    # Neither git nor tags here, as in an archive of the sources
    assert found["version"] == PYPROJECT["tool"]["setuptools_scm"]["fallback_version"]
    assert found["widgets"] == [
        "Denoise one image (REUCID)",
        "Denoise a pair (Noise2Noise)",
        "Split camera frame",
        "Batch",
        "Denoise live",
        "Inspect",
        "Teach REUCID",
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
    # No symlink: a Windows checkout would hold a file with a path in it
    assert not (ROOT / "napari.yaml").is_symlink()
    assert (ROOT / "napari.yaml").read_bytes() == MANIFEST.read_bytes(), (
        f"Copy the manifest: cp {MANIFEST.relative_to(ROOT)} napari.yaml"
    )


def test_a_plain_install_into_napari_lacks_nothing() -> None:
    # napari's plugin installer installs no extras: what our extra adds must come with napari
    extra = names(PROJECT["optional-dependencies"]["napari"])
    assert extra - {"napari"} <= names(requires("napari") or [])
    assert not extra & names(PROJECT["dependencies"])


def test_a_plain_install_changes_neither_napari_nor_qt() -> None:
    assert not with_their_own(PROJECT["dependencies"]) & {"napari", *QT}
    # Nor does it ask for older versions of anything that a napari may have
    limits = [each for line in PROJECT["dependencies"] for each in Requirement(line).specifier]
    assert {each.operator for each in limits} == {">="}


def test_the_sdist_builds_and_tests_and_holds_nothing_else(tmp_path: Path) -> None:
    # Of a shallow clone without tags, which knows no version either
    clone = tmp_path / "clone"
    git = ["git", "clone", "--quiet", "--depth=1", "--no-tags", ROOT.as_uri(), clone]
    done = subprocess.run(git, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no checkout that git can read: {done.stderr}")
    for name in ("pyproject.toml", "MANIFEST.in"):  # as they are before a commit
        shutil.copy(ROOT / name, clone)
    build = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", tmp_path]
    done = subprocess.run([*build, clone], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        files = {member.name.partition("/")[2] for member in archive.getmembers()}
    root = {name.partition("/")[0] for name in files} - {""}
    code = {"src", "tests", "benchmarks", "docs", "examples", "scripts", "training", "recipe"}
    told = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "LICENSE"}
    how = {"pyproject.toml", "setup.cfg", "PKG-INFO", "Makefile", "constraints.txt", "napari.yaml"}
    assert root == code | told | how
    assert not any(name.startswith("docs/images/") for name in files)
    version = sdist.name.removeprefix("napari_lowdose-").removesuffix(".tar.gz")
    assert Version(version) >= Version(PYPROJECT["tool"]["setuptools_scm"]["fallback_version"])


def test_the_installed_version_is_one() -> None:
    assert Version(version("napari-lowdose")) >= Version("0.1.0")


def test_addresses_in_the_readme_are_absolute_and_lead_somewhere() -> None:
    # PyPI and the napari hub show it as well, and know no folder beside it
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\]\((?!https://)[^)]*\)", text) == []
    assert re.findall(r"<img|<a ", text) == []
    addresses = dict(re.findall(r"^\[([^\]]+)\]: (\S+)$", text, re.MULTILINE))
    used = set(re.findall(r"\]\[([^\]]+)\]", text))
    assert used <= set(addresses)
    home = PROJECT["urls"]["Homepage"]
    raw = home.replace("//github.com/", "//raw.githubusercontent.com/") + "/main/"
    for address in [*addresses.values(), *PROJECT["urls"].values()]:
        assert address.startswith("https://")
        path = re.sub(rf"^({home}/(blob|tree)/main/|{raw})", "", address)
        if path != address and not path.startswith("docs/images/"):
            assert (ROOT / path).exists(), address
    pictures = [url.removeprefix(raw) for url in addresses.values() if url.startswith(raw)]
    assert pictures
    if (ROOT / "docs" / "images").exists():  # not in an sdist
        assert all((ROOT / path).stat().st_size < 2_000_000 for path in pictures)


def test_citation_changelog_and_recipe_tell_of_the_same_release() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert citation["license"] == PROJECT["license"]
    assert citation["repository-code"] == PROJECT["urls"]["Source Code"]
    assert [paper["notes"] for paper in citation["references"]] == ["Noise2Noise", "REUCID"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    heading = re.search(r"^## (\d\S+) - (\S+)$", changelog, re.MULTILINE)
    assert heading is not None
    assert heading.groups() == (citation["version"], citation["date-released"])
    assert changelog.index("## Unreleased") < heading.start()
    recipe = (ROOT / "recipe" / "meta.yaml").read_text(encoding="utf-8")
    assert f'version = "{citation["version"]}"' in recipe


def test_the_conda_recipe_has_the_same_dependencies() -> None:
    recipe = (ROOT / "recipe" / "meta.yaml").read_text(encoding="utf-8")
    section = recipe.partition("\n  run:\n")[2].partition("\n  run_constrained:")[0]
    lines = [line.strip() for line in section.splitlines() if not line.strip().startswith("#")]
    expected = ["- python >={{ python_min }}"]
    for requirement in map(Requirement, PROJECT["dependencies"]):
        name = CONDA.get(requirement.name, requirement.name)
        expected.append(f"- {name} {requirement.specifier}")
    assert sorted(lines) == sorted(expected)


@pytest.mark.skipif(not (ROOT / ".github").exists(), reason="not in an sdist")
def test_each_python_of_the_classifiers_is_tested() -> None:
    workflow = (ROOT / ".github" / "workflows" / "test_and_deploy.yml").read_text(encoding="utf-8")
    matrix = yaml.safe_load(workflow)["jobs"]["test"]["strategy"]["matrix"]
    told = [re.search(r":: (3\.\d+)$", line) for line in PROJECT["classifiers"]]
    assert matrix["python-version"] == [each[1] for each in told if each]
    assert PROJECT["requires-python"] == f">={matrix['python-version'][0]}"


def names(requirements: list[str]) -> set[str]:
    return {
        canonicalize_name(requirement.name)
        for requirement in map(Requirement, requirements)
        if "extra ==" not in str(requirement.marker)
    }


def with_their_own(requirements: list[str]) -> set[str]:
    """Return the names of requirements and of what they require in turn."""
    seen: set[str] = set()
    ahead = names(requirements)
    while ahead:
        name = ahead.pop()
        seen.add(name)
        try:
            ahead |= names(requires(name) or []) - seen
        except PackageNotFoundError:  # for another system
            continue
    return seen
