"""Killed at any moment: the input is intact, and the old result or the new one is there, whole."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

KILLS = 25  # of each kind
ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is copied to be killed")
@pytest.mark.parametrize("kind", ["overwrite", "resume"])
def test_killed_at_random_moments(tmp_path: Path, kind: str) -> None:
    code = "import sys; from tests.streaming.test_killed import kill; kill(*sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, kind, tmp_path], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    killed, finished = map(int, done.stdout.split())
    assert killed >= KILLS // 2 and killed + finished == KILLS


# ---------------------------------------------------- in a process without threads, to be copied


def kill(kind: str, folder: str) -> None:
    """Stream in copies of this process, and kill them; print how many were, and were not."""
    import zarr

    from napari_lowdose import denoise_to_zarr
    from tests.streaming.counting import Counting, numbered

    source, out = Path(folder, "in.zarr"), Path(folder, "out.zarr")
    movie = numbered(6)
    new, old = 2.0, 3.0

    def prepare() -> None:
        zarr.create_array(source, data=movie, chunks=(1, 5, 6))
        if kind == "overwrite":
            denoise_to_zarr(movie, Counting(old), out)
            (out / "notes.txt").write_text("precious")

    def stream() -> None:
        array = zarr.open_array(source, mode="r")
        denoise_to_zarr(array, Counting(new), out, overwrite=kind == "overwrite")

    def check_killed() -> None:
        if kind == "overwrite":
            assert (out / "notes.txt").read_text() == "precious"
            found = zarr.open_array(out / "0")[:]
            assert any(np.array_equal(found, factor * movie) for factor in (old, new))
        elif out.exists():
            found = zarr.open_array(out / "0")[:]
            written = np.isfinite(found)
            np.testing.assert_array_equal(found[written], (new * movie)[written])
            assert (written.all((1, 2)) | ~written.any((1, 2))).all()  # frames are whole

    def check_finished() -> None:
        np.testing.assert_array_equal(zarr.open_array(out / "0")[:], new * movie)
        beside = {"in.zarr", "out.zarr"}
        assert {each.name for each in Path(folder).iterdir()} == beside
        assert not list(out.rglob("*.partial"))

    in_copy(prepare)
    intact = content(source)
    begun = time.perf_counter()
    in_copy(stream)
    seconds = time.perf_counter() - begun
    in_copy(check_finished)
    rng, killed = random.Random(0), 0
    for _ in range(KILLS):
        if zarr_is_finished(out, new):  # again, with something else
            if kind == "overwrite":
                new, old = old, new
            else:
                shutil.rmtree(out)
        if in_copy(stream, rng.uniform(0, seconds)):
            killed += 1
            in_copy(check_killed)
        else:
            in_copy(check_finished)
        assert content(source) == intact
    in_copy(stream)
    in_copy(check_finished)
    print(killed, KILLS - killed)


def in_copy(work: Callable[[], None], seconds: float | None = None) -> bool:
    """Work in a copy of this process; return whether it was killed, after `seconds`."""
    copy = os.fork()
    if copy == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(copy, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
    assert status in (0, -signal.SIGKILL), f"it ended with {status}"
    return status == -signal.SIGKILL


def zarr_is_finished(path: Path, factor: float) -> bool:
    """Whether the result of `factor` is there, told from its record."""
    import json

    try:
        about = json.loads((path / "zarr.json").read_text())["attributes"]["napari-lowdose"]
    except FileNotFoundError:
        return False
    made = about["history"][-1]["parameters"]["factor"] == factor
    return bool(about["finished"] and made)


def content(folder: Path) -> str:
    """Return a hash of all files of a folder."""
    files = sorted(each for each in folder.rglob("*") if each.is_file())
    return hashlib.sha256(b"".join(each.read_bytes() for each in files)).hexdigest()
