"""Importing is cheap, and imports run downward only."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "napari_lowdose"
GUI = {"napari", "qtpy", "PyQt5", "PyQt6", "PySide2", "PySide6", "magicgui", "pyqtgraph"}


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def loaded_by(module: str) -> set[str]:
    return set(python(f"import sys, {module}; print(*sys.modules)").split())


def test_importing_the_package_takes_less_than_50_ms() -> None:
    clock = "import numpy, time; t = time.perf_counter(); import napari_lowdose"
    seconds = min(float(python(f"{clock}; print(time.perf_counter() - t)")) for _ in range(5))
    assert seconds < 0.05


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = GUI | {"torch", "skimage", "scipy", "tifffile"}
    assert not loaded_by("napari_lowdose") & heavy


@pytest.mark.parametrize(
    "name",
    [
        "imaging",
        "reucid",
        "noise2noise",
        "denoise",
        "streaming",
        "steps",
        "metrics",
        "cli",
        "samples",
    ],
)
def test_no_gui_and_no_torch_outside_the_widgets(name: str) -> None:
    assert not loaded_by(f"napari_lowdose.{name}") & (GUI | {"torch"})


# What each part may import of the others.  The engines never import each other.
GROUND = {"imaging", "steps", "versions"}
ENGINES = {"reucid", "noise2noise"}
ALLOWED = {
    "steps": set(),
    "versions": set(),
    "imaging": {"steps"},
    "metrics": {"imaging"},
    "samples": {"imaging"},
    **dict.fromkeys(ENGINES, GROUND),
    "image_or_pair": {"imaging", "steps"},
    "part_of_movie": {"image_or_pair", "steps"},
    "script": ENGINES | {"steps"},
    "lazy": {"image_or_pair", "part_of_movie"} | ENGINES | GROUND,
    "denoise": {"image_or_pair", "lazy", "script"} | ENGINES | GROUND,
    "streaming": {"denoise", "image_or_pair", "lazy", "part_of_movie"} | ENGINES | GROUND,
    "engine_options": set(),
    "output_files": {"imaging"},
    "command_messages": {"noise2noise"},
    "command_files": {"command_messages", "denoise", "image_or_pair", "output_files", "streaming"}
    | ENGINES
    | GROUND,
    "cli": {"command_files", "command_messages", "engine_options"} | ENGINES | GROUND,
    "widgets": {"denoise", "engine_options", "image_or_pair", "samples", "script", "streaming"}
    | ENGINES
    | GROUND,
}
# Public names that are loaded lazily from the package itself, and where they live
LAZY = {
    **dict.fromkeys(("Run", "denoise_steps"), "denoise"),
    **dict.fromkeys(("Reucid", "StackStep"), "reucid"),
    **dict.fromkeys(("Noise2Noise", "Noise2NoiseModel", "TrainingStep"), "noise2noise"),
    **dict.fromkeys(("Stream", "denoise_to_zarr"), "streaming"),
    **dict.fromkeys(("simulate_pair", "split_frame", "register_pair"), "imaging"),
}


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Yield the full name of every module or name that a file imports, wherever in it."""
    package = ("napari_lowdose", *path.relative_to(SOURCE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*parents, *filter(None, [node.module])))
            yield from (f"{module}.{alias.name}" for alias in node.names)


MODULES = sorted(p for p in SOURCE.rglob("*.py") if p.name != "__init__.py" or p.parent != SOURCE)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_run_downward_only(path: Path) -> None:
    part = part_of(path)
    for name in imports(path):
        top, *rest = name.split(".")
        if top == "napari_lowdose" and rest:
            target = LAZY.get(rest[0], rest[0])
            assert target in ALLOWED[part] | {part}, f"{part} imports {name}"
        assert top not in GUI or part == "widgets", f"{part} imports {name}"
