"""Parameters of the engine, and its error messages."""

import enum
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_lowdose import Noise2Noise, Noise2NoiseModel, TrainingStep, denoise, denoise_steps


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("preset", "slow", "preset must be one of 'auto', 'fast', 'paper', not 'slow'"),
        ("use", "second", "use must be one of 'both', 'first', not 'second'"),
        ("epochs", 0, "epochs must be a positive number, not 0"),
        ("epochs", float("nan"), "epochs must be a positive number, not nan"),
        ("epochs", "20", "epochs must be a positive number, not '20'"),
        ("time_budget", -1.0, "time_budget must be a positive number"),
        ("time_budget", float("inf"), "time_budget must be a positive number"),
        ("learning_rate", 0.0, "learning_rate must be a positive number"),
        ("every", 0, "every must be a whole number, at least 1, not 0"),
        ("every", 1.5, "every must be a whole number"),
        ("seed", -1, "seed must be a whole number, at least 0"),
        ("seed", float("inf"), "seed must be a whole number"),
        ("batch_size", 0, "batch_size must be a whole number, at least 1"),
        ("crop_size", 16, "crop_size must be a whole number, at least 32, not 16"),
        ("width", "8", "width must be a whole number, at least 1, not '8'"),
        ("shift", (1.5, 0.0), r"shift must be \(dy, dx\) of at most 1 pixel each"),
        ("shift", (0.0,), r"shift must be \(dy, dx\)"),
        ("shift", 0.5, r"shift must be \(dy, dx\)"),
        ("shift", (float("nan"), 0.0), r"shift must be \(dy, dx\)"),
        ("preview", (0.5,), "preview must be the index of a frame"),
        ("preview", 3, "preview must be the index of a frame"),
        ("preview", None, "preview must be the index of a frame"),
        ("preset", None, "preset must be one of"),
        ("use", None, "use must be one of 'both', 'first', not None"),
        ("use", b"both", "use must be one of"),
        ("use", np.array(["both"]), "use must be one of"),
        ("normalise", 1, "normalise must be True or False, not 1"),
        ("epochs", True, "epochs must be a positive number, not True"),
        ("epochs", 1e300, "epochs must be at most"),
        ("learning_rate", 1e300, "learning_rate must be at most 1, not 1e"),
        ("learning_rate", True, "learning_rate must be a positive number, not True"),
        ("seed", None, "seed must be a whole number, at least 0, not None"),
        ("seed", True, "seed must be a whole number"),
        ("seed", 10**400, "seed must be a whole number"),
        ("every", None, "every must be a whole number"),
        ("batch_size", 10**9, "batch_size must be at most 4096"),
        ("width", 10**6, "width must be at most 1024"),
        ("shift", (True, 0.0), r"shift must be \(dy, dx\)"),
        ("shift", None, r"shift must be \(dy, dx\)"),
        ("device", 0, "device must be a name such as 'auto'"),
        ("start", 3, "start must be a Noise2NoiseModel or the path of its file, not 3"),
    ],
)
def test_parameters_out_of_range(name: str, value: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Noise2Noise(**{name: value})


def test_numpy_numbers_are_accepted() -> None:
    """They come from arrays and spin boxes, and are written to the model file."""
    engine = Noise2Noise(
        seed=np.int64(3),
        every=2.0,  # type: ignore[arg-type]
        epochs=np.float32(1.5),
        shift=np.array([0.5, -0.25], np.float32),
        preview=(np.intp(1),),
    )
    plain = Noise2Noise(seed=3, every=2, epochs=1.5, shift=(0.5, -0.25), preview=(1,))
    assert engine == plain
    assert json.loads(json.dumps(asdict(engine)))["seed"] == 3
    assert repr(Noise2Noise(epochs=20)) == repr(Noise2Noise(epochs=np.int64(20)))


class Use(enum.StrEnum):
    BOTH = "both"


def test_equivalent_parameter_values() -> None:
    engine = Noise2Noise(
        use=Use.BOTH,  # type: ignore[arg-type]
        preset=np.str_("fast"),  # type: ignore[arg-type]
        normalise=np.False_,  # type: ignore[arg-type]
        device=torch.device("cpu"),  # type: ignore[arg-type]
        seed=np.array(3),  # type: ignore[arg-type]
        learning_rate=torch.tensor(0.5),  # type: ignore[arg-type]
    )
    assert engine == Noise2Noise(preset="fast", device="cpu", seed=3, learning_rate=0.5)
    assert "Use" not in repr(engine)
    assert "str_" not in repr(engine)
    assert Noise2Noise(device=None) == Noise2Noise()  # type: ignore[arg-type]
    assert Noise2Noise(device=" CPU") == Noise2Noise(device="cpu")


def test_start_from_a_file(quick: Noise2Noise, model: Noise2NoiseModel, tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    model.save(path)
    for start in (path, str(path)):
        started = replace(quick, start=start).start  # type: ignore[arg-type]
        assert isinstance(started, Noise2NoiseModel)
        assert started.record["n_steps"] == model.record["n_steps"]
    with pytest.raises(FileNotFoundError):
        replace(quick, start=tmp_path / "nothing")  # type: ignore[arg-type]


def test_network_too_large_for_its_file() -> None:
    engine = Noise2Noise(preset="paper", width=1024)
    with pytest.raises(ValueError, match="width 1024 makes a network of 30 GiB"):
        engine.train(*exposures())


def exposures(shape: tuple[int, ...] = (64, 64)) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    y, x, *_ = np.indices(shape[-2:] if shape[-1] > 3 else shape)
    waves = np.sin(x / 3) * np.cos(y / 4)
    first, second = np.random.default_rng(0).normal(9 + 5 * waves, 1, (2, *shape))
    return first.astype(np.float32), second.astype(np.float32)


def with_nan(image: NDArray[np.float32], *at: int) -> NDArray[np.float32]:
    image = image.copy()
    image[at] = np.nan
    return image


FIRST, SECOND = exposures()
STACKS = exposures((5, 64, 64))
COLOUR = exposures((64, 64, 3))
SMALL = exposures((31, 80))


@pytest.mark.parametrize(
    ("first", "second", "sentence"),
    [
        (FIRST, SECOND[:-1], "must have the same shape"),
        (FIRST, FIRST, "same data"),
        (FIRST, 3 * FIRST + 7, "same data"),
        (FIRST, np.full_like(SECOND, 2), "constant"),
        (with_nan(FIRST, 3, 4), SECOND, "1 of 4096 pixels are NaN"),
        (FIRST, with_nan(SECOND, 3), "64 of 4096 pixels are NaN"),
        (*COLOUR, "looks like RGB"),
        (*SMALL, "31 x 80 pixels is too small: at least 32 x 32"),
        (FIRST > 9, SECOND > 9, "boolean"),
        (FIRST * 1j, SECOND * 1j, "complex"),
        (FIRST[0], SECOND[0], "at least two axes"),
        (FIRST[:0], SECOND[:0], "empty"),
    ],
)
def test_unsuitable_pairs_are_refused(
    first: NDArray[np.float32], second: NDArray[np.float32], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        Noise2Noise(epochs=1).train(first, second)


@pytest.mark.parametrize("which", [0, 1])
def test_bad_frame_is_found_before_training(which: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is raised before training."""
    from napari_lowdose.noise2noise import training

    monkeypatch.setattr(training, "_Training", None)  # not reached
    stacks = list(STACKS)
    stacks[which] = with_nan(STACKS[which], 1, 5, 5)
    name = ("first", "second")[which]
    with pytest.raises(ValueError, match=f"{name} exposure has NaN.* in frame 2 of 5"):
        Noise2Noise(epochs=1).train(*stacks)


@pytest.mark.parametrize("given", [FIRST, [FIRST, SECOND], (FIRST,), (FIRST, SECOND, SECOND)])
def test_pair_is_a_tuple_of_two(given: object) -> None:
    with pytest.raises(ValueError, match="pair"):
        denoise(given, Noise2Noise(epochs=1))


@pytest.mark.parametrize("preview", [(), (0,), (0, 0, 0), (0, 9)])
def test_preview_index_out_of_range(preview: tuple[int, ...], quick: Noise2Noise) -> None:
    first, second = exposures((2, 3, 64, 64))
    steps = replace(quick, preview=preview, epochs=1).training_steps(first, second)
    if preview == ():
        list(steps)
        return
    with pytest.raises(ValueError, match=r"preview must be the index of a frame within \(2, 3\)"):
        list(steps)


def test_unavailable_device() -> None:
    with pytest.raises(ValueError, match="device 'cuda:99' is not available"):
        Noise2Noise(epochs=1, device="cuda:99").train(FIRST, SECOND)


def test_first_step_precedes_all_work() -> None:
    """The user interface shows progress while the pair is read and torch is imported."""
    steps = denoise_steps((FIRST, FIRST), Noise2Noise())
    step = next(steps)
    assert isinstance(step, TrainingStep)
    assert (step.fraction, step.n_steps, step.model) == (0, 0, None)
    with pytest.raises(ValueError, match="same data"):
        list(steps)


def test_import_and_setup_do_not_load_torch() -> None:
    code = (
        "import sys; from napari_lowdose.noise2noise import *; "
        "from napari_lowdose import Noise2Noise; Noise2Noise(seed=3); "
        "assert not {'torch', 'scipy', 'skimage'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_short_spin_is_set_before_torch_is_loaded_unless_the_user_has_set_one() -> None:
    code = (
        "import os, sys; from napari_lowdose.noise2noise import warm_start; "
        "warm_start.load_torch_for_interface().join(); assert 'torch' in sys.modules; "
        "print(os.environ['GOMP_SPINCOUNT'])"
    )
    plain = {key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"}
    for given, found in ((plain, "2000"), ({**plain, "GOMP_SPINCOUNT": "7"}, "7")):
        done = subprocess.run(
            [sys.executable, "-c", code], env=given, check=True, capture_output=True, text=True
        )
        assert done.stdout.strip() == found
