"""The Python script that trains and denoises as the widget did."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from napari_lowdose.widgets.python_script import NO_FILE, Axes, looking, saving

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_lowdose.noise2noise import Noise2Noise, Noise2NoiseModel

Index = tuple[int, ...]
NOT_SAVED = "network.safetensors"
DEFAULT_AXES = Axes()


def training_script(
    engine: Noise2Noise,
    paths: Sequence[str | None],
    frame: Index = (),
    neighbours: bool = False,
    model: Noise2NoiseModel | None = None,
    start_path: str | None = None,
    name: str = "denoised",
    model_path: str | None = None,
    axes: Axes = DEFAULT_AXES,
) -> str:
    """Return a script that trains the network again, denoises with it, and saves both.

    Parameters
    ----------
    engine : Noise2Noise
    paths : sequence of str or None
        Files of the two exposures, or of the movie whose neighbouring frames are pairs.
    frame : tuple of int
        Which pair of a stack was denoised; empty for all.
    neighbours : bool
        Whether neighbouring frames are the pairs.
    model : Noise2NoiseModel, optional
        What the training led to: however it was ended, the script ends it there.
    start_path : str, optional
        File of the network that was trained further, where it came from a file.
    name : str
        Of the result, for its file.
    model_path : str, optional
        File of the network that was trained, if it was saved: the script does not write there.
    axes : Axes
        Of the first exposure.

    Returns
    -------
    str
        Python source.
    """
    if model is not None:
        engine = engine.with_training_of(model)
    given = {
        field.name: value
        for field in dataclasses.fields(engine)
        if field.name not in ("start", "preview")
        and (value := getattr(engine, field.name)) != field.default
    }
    names = ["Noise2Noise", "denoise"]
    before = ""
    parameters = ", ".join(f"{name}={value!r}" for name, value in given.items())
    if start_path is not None:
        names.insert(1, "Noise2NoiseModel")
        before = f"start = Noise2NoiseModel.load({start_path!r})\n"
        parameters = ", ".join(filter(None, [parameters, "start=start"]))
    if neighbours:
        read, train, apply = ["movie"], "movie[:-1], movie[1:]", "movie{}"
    else:
        read, train, apply = ["first", "second"], "first, second", "(first{0}, second{0})"
    at = f"[{', '.join(map(str, frame))}]" if frame else ""
    trained = f"model = Noise2Noise({parameters}).train({train})\n"
    if model_path is None:
        trained += f"model.save({_file_name(name, '.safetensors')!r})\n"
    else:
        trained += f"# It is saved already: model = Noise2NoiseModel.load({model_path!r})\n"
        names = [*names[:1], "Noise2NoiseModel", *names[-1:]]
    return (
        _reading(read, paths, names, name)
        + before
        + trained
        + f"clean = denoise({apply.format(at)}, model)\n"
        + _ending(read[0] + at, axes, frame)
    )


def applying_script(
    model_path: str | None,
    paths: Sequence[str | None],
    frame: Index = (),
    name: str = "denoised",
    axes: Axes = DEFAULT_AXES,
) -> str:
    """Return a script that applies a saved network and saves the result.

    Parameters
    ----------
    model_path : str or None
        File of the network; None if it was never saved.
    paths : sequence of str or None
        File of the image, or of both exposures.
    frame : tuple of int
        Which frame was denoised; empty for all.
    name : str
        Of the result, for its file.
    axes : Axes
        Of the input layer.
    """
    read = ["image"] if len(paths) == 1 else ["first", "second"]
    at = f"[{', '.join(map(str, frame))}]" if frame else ""
    applied = f"image{at}" if len(paths) == 1 else f"(first{at}, second{at})"
    note = "" if model_path else "# The network has no file yet: save it first.\n"
    return (
        note
        + _reading(read, paths, ["Noise2NoiseModel", "denoise"], name)
        + f"model = Noise2NoiseModel.load({model_path or NOT_SAVED!r})\n"
        + f"clean = denoise({applied}, model)\n"
        + _ending(read[0] + at, axes, frame)
    )


def _target(name: str) -> str:
    """Return the lines that name the file to write, and refuse to replace one."""
    return (
        f"target = Path({_file_name(name, '.tif')!r})\n"
        "if target.exists():\n"
        '    raise SystemExit(f"{target} exists already: choose another target.")\n'
    )


def _ending(before: str, axes: Axes, frame: Index) -> str:
    """Return the lines that save `clean`, and how to look at it."""
    axes = axes.frame() if frame else axes
    return saving("target", "clean", axes) + looking([before, "clean"], axes)


def _file_name(name: str, ending: str) -> str:
    safe = " ".join("".join(c if c.isalnum() or c in "-_+" else " " for c in name).split())
    return f"{safe or 'denoised'}{ending}"


def _reading(variables: list[str], paths: Sequence[str | None], names: list[str], name: str) -> str:
    """Return the imports, where the result goes, and the lines that read into `variables`."""
    files = [path or f"{name}.tif" for name, path in zip(variables, paths, strict=True)]
    tiff = [file.lower().endswith((".tif", ".tiff")) for file in files]
    lines: list[Any] = [
        "from pathlib import Path\n\n",
        "import tifffile\n",
        f"from napari_lowdose import {', '.join(names)}\n",
        "" if all(tiff) else "from napari_lowdose.io.readers import read_image\n",
        "\n",
        _target(name),
        "\n",
    ]
    lines += [
        f"{name} = tifffile.imread({file!r})\n"
        if is_tiff
        else f"{name} = read_image({file!r}).pixels\n"
        for name, file, is_tiff in zip(variables, files, tiff, strict=True)
    ]
    note = "" if all(paths) else NO_FILE.replace("image.tif", " and ".join(
        file for file, path in zip(files, paths, strict=True) if path is None
    ))  # fmt: skip
    return note + "".join(lines)
