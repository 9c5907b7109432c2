"""Python scripts that reproduce a run."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import napari_lowdose

if TYPE_CHECKING:
    from napari_lowdose.engine import Engine

NETWORK = "network.safetensors"
_TIFF = (".tif", ".tiff")


def as_python(
    engine: Engine,
    path: str | tuple[str, str] = "image.tif",
    *,
    trained: Any = None,
    network: str = NETWORK,
) -> str:
    """Return a Python script that runs `engine` on the file `path`.

    Parameters with their default values are left out.  TIFF files are read with tifffile, other
    formats with the napari plugins that are installed.

    Parameters
    ----------
    engine : Engine
        The engine of the run.
    path : str, or tuple of two
        File of the image, or of the two exposures of a pair.
    trained : Noise2NoiseModel, optional
        Model that the run trained.  The script trains for the same number of epochs, whatever
        ended the training.
    network : str
        File of the model that is applied, or that training starts from.

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
        engine = engine.with_training_of(trained)
    imports, made = _source(engine, network)
    are_tiff = [is_tiff(each) for each in paths]
    if not all(are_tiff):
        imports.append("from napari_lowdose.io.readers import read_image")
    lines = ["import tifffile"] if any(are_tiff) else []
    lines += [*imports, ""]
    lines += [f"{name} = {reader(each)}" for name, each in zip(names, paths, strict=True)]
    given = f"({', '.join(names)})" if pair else names[0]
    lines.append(f"clean = denoise({given}, {made})")
    return "\n".join(lines) + "\n"


def expression(engine: Any, network: str = NETWORK) -> tuple[list[type], str]:
    """Return a Python expression that makes an engine, and the classes to import for it.

    Parameters
    ----------
    engine : Engine, or another dataclass
    network : str
        File of the model that `engine` is, or that training starts from.

    Returns
    -------
    classes : list of type
    expression : str
    """
    kind = type(engine)
    if getattr(engine, "model", None) is engine:  # a trained model has a file of its own
        return [kind], f"{kind.__name__}.load({network!r})"
    classes, parameters = [kind], []
    for field in dataclasses.fields(engine):
        value = getattr(engine, field.name)
        if value == field.default or not field.metadata.get("changes_result", True):
            continue
        if dataclasses.is_dataclass(value):  # the training, the model that it starts from, a noise
            others, made = expression(value, network)
            classes += others
            parameters.append(f"{field.name}={made}")
        else:
            parameters.append(f"{field.name}={value!r}")
    return classes, f"{kind.__name__}({', '.join(parameters)})"


def _source(engine: Engine, network: str) -> tuple[list[str], str]:
    """Return the import statements and the expression that make `engine`."""
    classes, made = expression(engine, network)
    names: dict[str, list[str]] = {"napari_lowdose": []}
    for each in classes:
        public = getattr(napari_lowdose, each.__name__, None) is each
        names.setdefault("napari_lowdose" if public else each.__module__, []).append(each.__name__)
    names["napari_lowdose"].append("denoise")
    return [f"from {module} import {', '.join(each)}" for module, each in names.items()], made


def is_tiff(path: str) -> bool:
    """Whether a script reads this file by tifffile."""
    return path.lower().endswith(_TIFF)


def reader(path: str) -> str:
    """Return the expression that reads the pixels of a file."""
    return f"tifffile.imread({path!r})" if is_tiff(path) else f"read_image({path!r}).pixels"
