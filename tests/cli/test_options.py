"""Command line options come from the engine alone."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import pytest

from napari_lowdose.cli.options import engine_from, engine_options, parameter_help
from napari_lowdose.noise2noise import Noise2Noise
from napari_lowdose.noise2noise.config import PresetName
from napari_lowdose.reucid import Reucid


@dataclass(frozen=True)
class Blur:
    """Blur an image.

    Longer talk about it.

    Parameters
    ----------
    width : "auto" or int
        Width of the kernel,
        pixels.
    keep : sequence of int, optional
        Which ones.

        With a second paragraph.
    memory_limit : int, optional
        How much.

    Notes
    -----
    seed : nothing to do with it
    """

    width: Literal["auto"] | int = "auto"
    keep: int | Sequence[int] | Sequence[Sequence[int]] | None = None
    memory_limit: int | None = None
    strength: float = 0.5
    shift: tuple[float, float] = (0.0, 0.0)
    device: str = "auto"
    exact: bool = False

    def __post_init__(self):
        if self.strength < 0:
            raise ValueError("strength cannot be negative.")


def test_help_is_the_docstring():
    assert parameter_help(Blur) == {
        "width": "Width of the kernel, pixels.",
        "keep": "Which ones. With a second paragraph.",
        "memory_limit": "How much.",
    }


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        ({"width": "auto"}, "width", "auto"),
        ({"width": " 11"}, "width", 11),
        ({"keep": "8"}, "keep", 8),
        ({"keep": "0,1,4"}, "keep", (0, 1, 4)),
        ({"keep": "4,"}, "keep", (4,)),
        ({"keep": "0,1; 0,2,"}, "keep", ((0, 1), (0, 2))),
        ({"keep": "0,1;3"}, "keep", ((0, 1), (3,))),
        ({"keep": "3;"}, "keep", ((3,),)),
        ({"memory_limit": "1GiB"}, "memory_limit", 2**30),
        ({"memory_limit": "500 MB"}, "memory_limit", 500_000_000),
        ({"memory_limit": "1.5k"}, "memory_limit", 1500),
        ({"memory_limit": "2g"}, "memory_limit", 2_000_000_000),
        ({"memory_limit": "1073741824"}, "memory_limit", 2**30),
        ({"strength": "0.25"}, "strength", 0.25),
        ({"shift": "0.25, -1"}, "shift", (0.25, -1.0)),
        ({"device": "cuda:1"}, "device", "cuda:1"),
        ({"exact": True}, "exact", True),
        ({"exact": None}, "exact", False),
    ],
)
def test_values(given, field, value):
    assert getattr(engine_from(Blur, given), field) == value


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"width": "broad"}, r"--width expects auto\|N, not 'broad'"),
        ({"keep": "a,b"}, "--keep"),
        ({"keep": "0,1;;3"}, "--keep"),  # or stack 2 would get what was meant for stack 3
        ({"memory_limit": "9" * 400}, "--memory-limit"),
        ({"memory_limit": "1XB"}, r"--memory-limit expects BYTES"),
        ({"memory_limit": "1.2.3"}, "--memory-limit"),
        ({"shift": "1"}, "--shift expects DY,DX, not .1."),
        ({"shift": "1,2,3"}, "--shift"),
        ({"strength": "-1"}, "strength cannot be negative"),
    ],
)
def test_what_does_not_fit(given, says):
    with pytest.raises(ValueError, match=says):
        engine_from(Blur, given)


def test_nothing_given_is_the_engine_as_it_comes():
    given = dict.fromkeys((field.name for field in fields(Reucid)), None)
    assert engine_from(Reucid, given) == Reucid()


def test_every_parameter_of_the_engine_is_an_option_with_help():
    options = {option.name for option in engine_options(Reucid)}
    assert options == {field.name for field in fields(Reucid)} == set(parameter_help(Reucid))
    assert all(parameter_help(Reucid).values())


def test_what_cannot_be_given_as_text_is_no_option():
    given = {"names": {"PresetName": PresetName}}
    options = {option.name for option in engine_options(Noise2Noise, ["preview"], **given)}
    none = {"preview", "start", "affine"}
    assert options == {field.name for field in fields(Noise2Noise)} - none
    assert engine_from(Noise2Noise, {"preset": "fast"}, **given) == Noise2Noise(preset="fast")
    assert "start" not in {option.name for option in engine_options(Noise2Noise)}
