"""The steps of alike stacks: their records and summary, and no rebuilding."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from napari_lowdose import Reucid, Run, denoise, denoise_steps
from napari_lowdose.reucid.alike import AlikeStep
from napari_lowdose.reucid.stack_step import stack_summary
from napari_lowdose.streaming import Stream

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

ALIKE = Reucid(patch_size=9, stacks="alike")


def steps_of(image: NDArray[Any], engine: Reucid = ALIKE) -> list[AlikeStep]:
    return [step for step in denoise_steps(image, engine) if isinstance(step, AlikeStep)]


def test_status_names_the_pilot_and_the_groups_of_each_pass(noisy: NDArray[np.uint16]) -> None:
    pilot, first, second = steps_of(noisy)
    assert pilot.message.startswith("pilot: patches of 9 px, ")
    n = first.n_groups
    assert first.message == f"pass 1 of 2: {n} groups of alike patches of 17 px"
    assert second.message.startswith("pass 2 of 2: ")


def test_records_have_eigenpatches_of_the_pilot_only(noisy: NDArray[np.uint16]) -> None:
    pilot, *passes = (json.loads(json.dumps(step.record())) for step in steps_of(noisy))
    assert pilot["kept"] and "n_groups" not in pilot
    for record in passes:
        assert record["n_groups"] > 0 and "kept" not in record and "n_eigenpatches" not in record
    assert pilot["gain"] == pytest.approx(1, abs=0.2)


def test_summary_of_one_image(noisy: NDArray[np.uint16]) -> None:
    run = Run(noisy, ALIKE)
    steps = [step for step in run if isinstance(step, AlikeStep)]
    patch, kept, groups, *deviations, noise = ALIKE.summary(run.record()["steps"], None)
    assert patch == "patch 9 px"
    assert kept.startswith(f"kept {steps[0].kept.sum()} of 25 eigenpatches (")
    assert groups == f"{steps[-1].n_groups} groups of alike patches of 17 px"
    found = steps[0].noise
    assert noise == (
        f"gain {found.gain:.2g} grey levels per electron, "
        f"read noise {found.read_noise:.2g} grey levels"
    )
    share = 100 * round(steps[-1].deviations, 4)
    assert deviations == ([f"deviations restored in {share:.2g} % of the image"] if share else [])


def record(index: int, **changes: Any) -> dict[str, Any]:
    noise = {"gain": 2.06, "offset": 100.0, "read_noise": 3.04}
    groups = {"index": [index], "patch_size": 17, "n_groups": 96, "deviations": 0.0}
    return groups | noise | changes


def pilot(index: int, kept: int) -> dict[str, Any]:
    return {
        "index": [index],
        "patch_size": 9,
        "kept": list(range(kept)),
        "n_eigenpatches": 25,
        "gain": 2.06,
        "read_noise": 3.04,
    }


def test_summary_of_a_movie() -> None:
    records = [
        *(pilot(0, 5), record(0), record(0, deviations=0.032)),
        *(pilot(1, 6), record(1), record(1, n_groups=80, deviations=0.004, gain=2.2)),
    ]
    assert stack_summary(records) == [
        "patch 9 px",
        "kept 5 to 6 of 25 eigenpatches in each patch stack of 2 frames",
        "80 to 96 groups of alike patches of 17 px",
        "deviations restored in 0.4 to 3.2 % of the image",
        "gain 2.1 to 2.2 grey levels per electron, read noise 3 grey levels",
    ]


def test_summary_of_additive_noise_and_of_a_pilot_alone() -> None:
    assert stack_summary([pilot(0, 5), record(0, gain=0.0)])[-1] == (
        "additive noise of 3 grey levels"
    )
    assert stack_summary([pilot(0, 5)])[2:] == [
        "gain 2.1 grey levels per electron, read noise 3 grey levels"
    ]


def test_rebuild_is_refused(noisy: NDArray[np.uint16]) -> None:
    steps = steps_of(noisy)
    dropped = replace(steps[0], kept=np.arange(25) < 2)
    for stacks in ([dropped], steps):
        with pytest.raises(ValueError, match=r"cannot be rebuilt.*denoise again with `keep`"):
            ALIKE.rebuild(noisy, stacks)


def test_streamed_frames_are_those_of_denoise(tmp_path: Path, noisy: NDArray[np.uint16]) -> None:
    movie = np.stack([noisy, noisy[::-1]])
    run = Stream(movie, ALIKE, tmp_path / "clean.zarr")
    for _ in run:
        pass
    np.testing.assert_array_equal(np.asarray(run.image), denoise(movie, ALIKE))
    assert run.record()["parameters"]["stacks"] == "alike"
    assert "alike" in json.dumps(dict(zarr.open_group(tmp_path / "clean.zarr").attrs))
    again = Stream(movie, replace(ALIKE, deviations="average"), tmp_path / "clean.zarr")
    with pytest.raises((ValueError, FileExistsError)):
        list(again)
