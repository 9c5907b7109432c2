"""The documentation is complete, and its Python examples run.

A block of Python runs after the blocks before it on the same page.  An HTML comment before a block,
which readers do not see, prepares it or leaves it out::

    <!-- setup
    image = ...
    -->

    <!-- not run: the reason -->
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import napari_lowdose

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PLACEHOLDER = re.compile(r"[A-Z]+(_[A-Z]+)+")
BLOCK = re.compile(
    r"^(?:<!-- setup\n(?P<setup>.*?)^-->"
    r"|<!-- (?P<not_run>not run: .+) -->"
    r"|```python\n(?P<code>.*?)^```)$",
    re.DOTALL | re.MULTILINE,
)
TEST_NAME = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
FILE_NAME = re.compile(r"`([\w/]+\.py)`")
PAGES_WITH_PYTHON = [page for page in PAGES if "\n```python\n" in page.read_text(encoding="utf-8")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_placeholder_is_left(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if PLACEHOLDER.fullmatch(line.strip())] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_tests_named_in_the_text_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    files = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("[a-z]*/**/*.py")}
    named = set(FILE_NAME.findall(text))
    assert {name for name in named if not any(f"/{f}".endswith(f"/{name}") for f in files)} == set()
    tests = TEST_NAME.findall(text)
    assert [(f, t) for f, t in tests if f"def {t}(" not in (ROOT / f).read_text("utf-8")] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_have_a_text(page: Path) -> None:
    # GitHub shows nothing for [](page.md), which Sphinx fills in
    assert re.findall(r"\[\]\([^)]*\)", page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", PAGES_WITH_PYTHON, ids=lambda page: page.name)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Two steps of training instead of some hundreds: the examples have to run, not to be good
    quick = functools.partial(napari_lowdose.Noise2Noise, epochs=0.01, device="cpu", fallback=False)
    monkeypatch.setattr(napari_lowdose, "Noise2Noise", quick)
    namespace: dict[str, Any] = {"np": np}
    text = page.read_text(encoding="utf-8")
    skip = False
    for block in BLOCK.finditer(text):
        if block["not_run"]:
            skip = True  # applies to the next block
            continue
        line = text.count("\n", 0, block.start()) + 1
        source = "\n" * line + (block["setup"] or block["code"])  # tracebacks show the page's lines
        code = compile(source, str(page), "exec")
        if not skip:
            exec(code, namespace)
        skip = False
