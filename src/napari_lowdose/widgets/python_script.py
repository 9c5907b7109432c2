"""Generate the Python script that reproduces a result."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.imaging.poisson_gaussian import PoissonGaussian
from napari_lowdose.movie_pairs import MoviePairs
from napari_lowdose.noise2noise.pair_source import PairSource, training_of
from napari_lowdose.script import expression
from napari_lowdose.thinning import Thinned
from napari_lowdose.widgets.layers import TIFF, axis_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.layers import Image

    from napari_lowdose.noise2noise import Noise2Noise, Noise2NoiseModel
    from napari_lowdose.reucid import Reucid, StackStep
    from napari_lowdose.reucid.stack_patch_sizes import StackPatchSizes
    from napari_lowdose.widgets.region import Region

Index = tuple[int, ...]
NO_FILE = "# The layer does not show a complete file: save it as image.tif first.\n"
# Orders of axes that ImageJ supports
IMAGEJ = ("YX", "TYX", "ZYX", "CYX", "TZYX", "TCYX", "ZCYX", "TZCYX")


@dataclass(frozen=True)
class Axes:
    """Names of the axes of a layer, and the pixel size along them.

    Attributes
    ----------
    names : str
        One letter per axis, as in TIFF: "TYX".
    scale : tuple of float
    unit : str
        Unit of the last axis; empty for pixels.
    """

    names: str = "YX"
    scale: tuple[float, ...] = (1.0, 1.0)
    unit: str = ""

    @classmethod
    def from_layer(cls, layer: Image | None) -> Axes:
        """Return the axes of `layer`; unnamed leading axes are called T, Z, C."""
        if layer is None:
            return cls()
        leading = [name[:1].upper() for name in axis_names(layer)[:-2]]
        if len(set(leading)) < len(leading) or not set(leading) <= set("TZC"):
            leading = list("TZC"[: len(leading)]) if len(leading) < 4 else ["Q"] * len(leading)
        unit = f"{layer.units[-1]:~}".replace("µ", "u")  # as ImageJ writes micrometres
        scale = tuple(float(length) for length in layer.scale)
        return cls("".join(leading) + "YX", scale, "" if unit in ("px", "pixel") else unit)

    def frame(self) -> Axes:
        """Return the axes of one frame."""
        return replace(self, names=self.names[-2:], scale=self.scale[-2:])

    @property
    def has_size(self) -> bool:
        """Whether the pixel size is known."""
        return any(length != 1 for length in self.scale)


def reucid_script(
    engine: Reucid,
    path: str | None,
    frame: Index = (),
    stacks: Mapping[Index, Sequence[StackStep]] | None = None,
    toggled: Sequence[Index] = (),
    sizes: StackPatchSizes | None = None,
    axes: Axes = Axes(),
    region: Region | None = None,
) -> str:
    """Return a script that reproduces the result, saves it, and explains how to view it.

    Parameters
    ----------
    engine : Reucid
        The engine that was run.
    path : str or None
        File of the input layer (`layer_file`); None if there is none.
    frame : tuple of int
        Index of the frame that was denoised; empty for all.
    stacks : mapping from frame index to sequence of StackStep, optional
        The patch stacks, with the eigenpatches kept now.
    toggled : sequence of tuple of int
        Frames whose eigenpatches were toggled by the user.
    sizes : StackPatchSizes, optional
        Patch sizes of the stack.
    axes : Axes
        Axes of the input layer.
    region : (int, int, int, int), optional
        Rows and columns that were denoised.

    Returns
    -------
    str
        Python source.
    """
    stacks = stacks or {}
    used = {each[0].n_stacks for each in stacks.values() if each}
    # The automatic number of random stacks depends on the free memory.
    if len(used) == 1 and engine.stacks == "random":
        engine = replace(engine, n_stacks=used.pop())

    def engine_at(index: Index) -> Reucid:
        return engine if sizes is None else sizes.engine_at(engine, index)

    if () in toggled:
        lines = [_denoise((), with_kept_eigenpatches(engine_at(frame), stacks[()]))]
    elif sizes is None or frame or not sizes.channel_axes:
        lines = [_denoise((), engine_at(frame))]
    else:
        lines = ["clean = np.empty(image.shape, np.float32)\n"]
        for group in sizes.found:
            at = dict(zip(sizes.channel_axes, group, strict=True))
            where = [at.get(axis) for axis in range(max(at) + 1)]
            lines.append(_denoise(where, engine_at(tuple(i or 0 for i in where))))
    lines += [
        _denoise(index, with_kept_eigenpatches(engine_at(index), stacks[index]))
        for index in toggled
        if index
    ]
    numpy = any("np." in line for line in lines)
    tiff = path is None or path.lower().endswith(TIFF)
    read = "tifffile.imread(source)" if tiff else "read_image(source).pixels"
    axes = axes.frame() if frame else axes
    cut = f"[{_indices(frame)}]" if frame else ""
    suffix = f" {'-'.join(map(str, frame))}" if frame else ""
    if region is not None:
        cut += "[..., {}:{}, {}:{}]".format(*region)
        suffix += " {}-{} {}-{}".format(*region)
    return (
        (NO_FILE if path is None else "")
        + "from pathlib import Path\n\n"
        + "import numpy as np\n" * numpy
        + "import tifffile\n"
        + "from napari_lowdose import Reucid, denoise\n"
        + ("" if tiff else "from napari_lowdose.io.readers import read_image\n")
        + f"\nsource = Path({path or 'image.tif'!r})\n"
        + f'target = source.with_name(f"{{source.stem}}{suffix} REUCID.tif")\n'
        + "if target.exists():\n"
        + '    raise SystemExit(f"{target} exists already: choose another target.")\n\n'
        + f"image = {read}{cut}\n"
        + "".join(lines)
        + saving_line("target", "clean", axes)
        + viewing_comments(["image", "clean"], axes)
    )


def saving_line(target: str, image: str, axes: Axes) -> str:
    """Return the line that saves the array `image` as TIFF, with its axes and pixel size.

    Examples
    --------
    >>> print(saving_line("target", "clean", Axes("TYX", (1.0, 0.5, 0.5), "nm")))
    tifffile.imwrite(
        target, clean, imagej=True, photometric='minisblack',
        metadata={'axes': 'TYX', 'unit': 'nm'}, resolution=(2.0, 2.0),
    )
    <BLANKLINE>
    """
    metadata = {"axes": axes.names} | ({"unit": axes.unit} if axes.unit else {})
    imagej = "imagej=True, " if axes.names in IMAGEJ else ""
    height, width = (1 / abs(length) for length in axes.scale[-2:])
    resolution = f" resolution=({width:.7}, {height:.7})," if axes.has_size else ""
    return (
        f"tifffile.imwrite(\n    {target}, {image}, {imagej}photometric='minisblack',\n"
        f"    metadata={metadata!r},{resolution}\n)\n"
    )


def viewing_comments(images: Sequence[str], axes: Axes) -> str:
    """Return comments that explain how to view arrays in napari."""
    scale = f", scale={axes.scale}" if axes.has_size else ""
    return (
        "\n# To compare them in napari:\n"
        "# import napari\n"
        "# viewer = napari.Viewer()\n"
        + "".join(f'# viewer.add_image({each}, name="{each}"{scale})\n' for each in images)
        + "# napari.run()\n"
    )


def with_kept_eigenpatches(engine: Reucid, stacks: Sequence[StackStep]) -> Reucid:
    """Return `engine` with `keep` set to the eigenpatches that each of `stacks` keeps now."""
    kept = [np.flatnonzero(stack.kept).tolist() for stack in stacks]
    if stacks[0].n_stacks == 1:
        return replace(engine, n_stacks=1, keep=kept[0])
    # Use the last choice for stacks that a stopped run has not reached.
    kept += [kept[-1]] * (stacks[0].n_stacks - len(kept))
    return replace(engine, n_stacks=stacks[0].n_stacks, keep=kept)


def _denoise(index: Sequence[int | None], engine: Reucid) -> str:
    where = f"[{_indices(index)}]" if index else ""
    return f"clean{where} = denoise(image{where}, {expression(engine)[1]})\n"


def _indices(index: Sequence[int | None]) -> str:
    return ", ".join(":" if i is None else str(i) for i in index)


DEFAULT_NETWORK_FILE = "network.safetensors"
DEFAULT_AXES = Axes()


def training_script(
    engine: Noise2Noise | PairSource,
    paths: Sequence[str | None],
    frame: Index = (),
    model: Noise2NoiseModel | None = None,
    start_path: str | None = None,
    name: str = "denoised",
    model_path: str | None = None,
    axes: Axes = DEFAULT_AXES,
    *,
    instead: str = "",
) -> str:
    """Return a script that trains the network again, denoises with it, and saves both.

    Parameters
    ----------
    engine : Noise2Noise or PairSource
    paths : sequence of str or None
        Files of the two exposures, or of the image or movie that the pairs are made of.
    frame : tuple of int
        Index of the frame or pair that was denoised; empty for all.
    model : Noise2NoiseModel, optional
        The trained network: the script trains for the same number of epochs.
    start_path : str, optional
        File of the network that the training started from.
    name : str
        Name of the result, for its file.
    model_path : str, optional
        File of the trained network, if it was saved; the script does not write to it.
    axes : Axes
        Axes of the first exposure.
    instead : str
        Name of the method that the result is by, if the network was not better.

    Returns
    -------
    str
        Python source.
    """
    if model is not None:
        engine = engine.with_training_of(model)
    training = training_of(engine)
    given = {
        field.name: value
        for field in dataclasses.fields(training)
        if field.name not in ("start", "preview")
        and (value := getattr(training, field.name)) != field.default
    }
    names = ["Noise2Noise", "denoise"]
    before = ""
    parameters = ", ".join(f"{name}={value!r}" for name, value in given.items())
    if start_path is not None:
        names.append("Noise2NoiseModel")
        before = f"start = Noise2NoiseModel.load({start_path!r})\n"
        parameters = ", ".join(filter(None, [parameters, "start=start"]))
    at = f"[{', '.join(map(str, frame))}]" if frame else ""
    made, network = f"Noise2Noise({parameters})", "model"
    if isinstance(engine, MoviePairs):
        read = ["movie"]
        made = f"MoviePairs({made}, {engine.pairs!r})"
        names.append("MoviePairs")
    elif isinstance(engine, Thinned):
        read, network = ["image"], "ThinnedNetwork(model)"
        noise = "" if engine.noise is None else f", {engine.noise!r}"
        made = f"Thinned({made}{noise})"
        names += ["Thinned", "ThinnedNetwork"]
        names += ["PoissonGaussian"] * isinstance(engine.noise, PoissonGaussian)
    else:
        read = ["first", "second"]
    apply = f"{read[0]}{at}" if len(read) == 1 else f"(first{at}, second{at})"
    trained = f"model = {made}.train({', '.join(read)})\n"
    if model_path is None:
        trained += f"model.save({_file_name(name, '.safetensors')!r})\n"
    else:
        trained += f"# Saved already: model = Noise2NoiseModel.load({model_path!r})\n"
        names.append("Noise2NoiseModel")
    if instead:  # the training decides again, by the held-out tiles
        trained, network = f"engine = {made}  # {instead} is better than the network\n", "engine"
        names = [each for each in names if each != "ThinnedNetwork"]
        if start_path is None:
            names = [each for each in names if each != "Noise2NoiseModel"]
    return (
        _reading_lines(read, paths, sorted(set(names)), name)
        + before
        + trained
        + f"clean = denoise({apply}, {network})\n"
        + _saving_lines(read[0] + at, axes, frame)
    )


def applying_script(
    model_path: str | None,
    paths: Sequence[str | None],
    frame: Index = (),
    name: str = "denoised",
    axes: Axes = DEFAULT_AXES,
    *,
    thinned: bool = False,
) -> str:
    """Return a script that applies a saved network and saves the result.

    Parameters
    ----------
    model_path : str or None
        File of the network; None if it was never saved.
    paths : sequence of str or None
        File of the image, or of both exposures.
    frame : tuple of int
        Index of the frame that was denoised; empty for all.
    name : str
        Name of the result, for its file.
    axes : Axes
        Axes of the input layer.
    thinned : bool
        Whether the network is one for the halves of counted images.
    """
    names = ["Noise2NoiseModel", *["ThinnedNetwork"] * thinned, "denoise"]
    network = "ThinnedNetwork(model)" if thinned else "model"
    read = ["image"] if len(paths) == 1 else ["first", "second"]
    at = f"[{', '.join(map(str, frame))}]" if frame else ""
    applied = f"image{at}" if len(paths) == 1 else f"(first{at}, second{at})"
    note = "" if model_path else "# The network has no file yet: save it first.\n"
    return (
        note
        + _reading_lines(read, paths, names, name)
        + f"model = Noise2NoiseModel.load({model_path or DEFAULT_NETWORK_FILE!r})\n"
        + f"clean = denoise({applied}, {network})\n"
        + _saving_lines(read[0] + at, axes, frame)
    )


def _target_lines(name: str) -> str:
    """Return the lines that name the target file, and refuse to replace a file."""
    return (
        f"target = Path({_file_name(name, '.tif')!r})\n"
        "if target.exists():\n"
        '    raise SystemExit(f"{target} exists already: choose another target.")\n'
    )


def _saving_lines(before: str, axes: Axes, frame: Index) -> str:
    """Return the lines that save `clean` and explain how to view it."""
    axes = axes.frame() if frame else axes
    return saving_line("target", "clean", axes) + viewing_comments([before, "clean"], axes)


def _file_name(name: str, ending: str) -> str:
    safe = " ".join("".join(c if c.isalnum() or c in "-_+" else " " for c in name).split())
    return f"{safe or 'denoised'}{ending}"


def _reading_lines(
    variables: list[str], paths: Sequence[str | None], names: list[str], name: str
) -> str:
    """Return the imports, the target, and the lines that read files into `variables`."""
    files = [path or f"{name}.tif" for name, path in zip(variables, paths, strict=True)]
    tiff = [file.lower().endswith((".tif", ".tiff")) for file in files]
    lines: list[Any] = [
        "from pathlib import Path\n\n",
        "import tifffile\n",
        f"from napari_lowdose import {', '.join(names)}\n",
        "" if all(tiff) else "from napari_lowdose.io.readers import read_image\n",
        "\n",
        _target_lines(name),
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
