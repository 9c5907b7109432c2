"""The Python script that does what a run did."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from napari_lowdose.noise2noise.config import PRESETS

if TYPE_CHECKING:
    from napari_lowdose.engine import Engine
    from napari_lowdose.noise2noise import Noise2NoiseModel

NETWORK = "network.safetensors"
_TIFF = (".tif", ".tiff")
_FOR_DISPLAY = ("preview",)  # changes nothing of the result


def as_python(
    engine: Engine,
    path: str | tuple[str, str] = "image.tif",
    *,
    trained: Noise2NoiseModel | None = None,
    network: str = NETWORK,
) -> str:
    """Return a script that does the same as `engine` did, on the file `path`.

    Parameters keep out of it where they have their defaults.  Other formats than TIFF are
    read by the napari plugins that are installed.

    Parameters
    ----------
    engine : Engine
        As it was run.
    path : str, or tuple of two
        Of the image, or of the two exposures of a pair.
    trained : Noise2NoiseModel, optional
        The network that came out of the run: the script trains for as many epochs, whatever
        ended the training.
    network : str
        File of a network: the one that is applied, or that training started from.

    Returns
    -------
    str
        Python source.

    Examples
    --------
    >>> from napari_lowdose import Noise2Noise
    >>> print(as_python(Noise2Noise(epochs=20), ("a.tif", "b.tif")))
    import tifffile
    from napari_lowdose import Noise2Noise, denoise
    <BLANKLINE>
    first = tifffile.imread('a.tif')
    second = tifffile.imread('b.tif')
    clean = denoise((first, second), Noise2Noise(epochs=20))
    <BLANKLINE>
    """
    pair = isinstance(path, tuple)
    names = ("first", "second") if pair else ("image",)
    paths: tuple[str, ...] = path if isinstance(path, tuple) else (path,)
    if trained is not None:
        engine = with_epochs_reached(engine, trained)
    pixels = "".join(f"{name} = {_reader(each)}\n" for name, each in zip(names, paths, strict=True))
    engines, made = expression(engine, network)
    given = f"({', '.join(names)})" if pair else names[0]
    tiff = any(each.lower().endswith(_TIFF) for each in paths)
    other = any(not each.lower().endswith(_TIFF) for each in paths)
    return (
        f"{'import tifffile' if tiff else ''}\n".lstrip()
        + f"from napari_lowdose import {', '.join(engines)}, denoise\n"
        + "from napari_lowdose.io.readers import read_image\n" * other
        + f"\n{pixels}clean = denoise({given}, {made})\n"
    )


def with_epochs_reached(engine: Any, model: Noise2NoiseModel) -> Any:
    """Return `engine` to be trained for as many epochs as `model` was, whatever ended that.

    Parameters
    ----------
    engine : Noise2Noise
    model : Noise2NoiseModel
        What it was trained to.

    Returns
    -------
    Noise2Noise
        With the same network, too, where that was left to the device.
    """
    a, record = model.architecture, model.record
    presets = [
        name for name, p in PRESETS.items() if (p.levels, p.unshuffle) == (a.levels, a.unshuffle)
    ]
    before = 0 if engine.start is None else engine.start.record.get("n_steps", 0)
    share = (record["n_steps"] - before) / record["n_steps"]  # of the epochs, in this run
    return dataclasses.replace(
        engine,
        preset=presets[0] if presets else engine.preset,
        time_budget=None,
        epochs=record["epochs"] * share,
    )


def _reader(path: str) -> str:
    tiff = path.lower().endswith(_TIFF)
    return f"tifffile.imread({path!r})" if tiff else f"read_image({path!r}).pixels"


def expression(engine: Any, network: str = NETWORK) -> tuple[list[str], str]:
    """Return the names to import, and the expression that makes the engine.

    Parameters
    ----------
    engine : Engine
    network : str
        File of a network: the one that `engine` is, or that training started from.

    Returns
    -------
    names : list of str
    expression : str
    """
    name = type(engine).__name__
    if hasattr(engine, "load"):  # a network: all it was told is in its file
        return [name], f"{name}.load({network!r})"
    names, parameters = [name], []
    for field in dataclasses.fields(engine):
        value = getattr(engine, field.name)
        if value == field.default or field.name in _FOR_DISPLAY:
            continue
        if hasattr(value, "load"):  # the network that training started from
            names.append(type(value).__name__)
            parameters.append(f"{field.name}={names[-1]}.load({network!r})")
        else:
            parameters.append(f"{field.name}={value!r}")
    return names, f"{name}({', '.join(parameters)})"
