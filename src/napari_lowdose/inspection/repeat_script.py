"""The Python script that repeats a result and its report, from the record of the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import napari_lowdose
from napari_lowdose.script import NETWORK, expression, is_tiff, reader

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_lowdose.engine import Engine


def repeat_script(
    record: Mapping[str, Any],
    *,
    raw: str | None = None,
    second: str | None = None,
    result: str | None = None,
    pixel_size: tuple[float, float] | None = None,
    unit: str | None = None,
    output: str = "report.html",
) -> str:
    """Return a script that denoises the raw image again and writes the report.

    Parameters
    ----------
    record : mapping
        Record of the result; empty if it is not known how it was made.
    raw, second : str, optional
        Files of the raw image and of the second exposure.  By default those of the record.
    result : str, optional
        File of the result, which is read if the engine is not known.
    pixel_size : (float, float), optional
    unit : str, optional
    output : str
        File of the report.

    Returns
    -------
    str
        Python source.

    Examples
    --------
    >>> record = {"engine": "Reucid", "parameters": {"patch_size": 9, "seed": 0}}
    >>> print(repeat_script(record, raw="a.tif"))
    import tifffile
    from napari_lowdose import Reucid, denoise
    from napari_lowdose.inspection import report
    <BLANKLINE>
    image = tifffile.imread('a.tif')
    clean = denoise(image, Reucid(patch_size=9))
    report(image, clean, 'report.html')
    <BLANKLINE>
    """
    given = record.get("input", {})
    known = given.get("path")
    paths: Sequence[Any] = known if isinstance(known, (list, tuple)) else (known, None)
    raw = raw or paths[0]
    second = second or paths[1]
    frame = given.get("frame")
    at = f"[{', '.join(map(str, frame))}]" if frame else ""
    classes, made = _expression(record)
    pair = second is not None and record.get("engine") != "Reucid"
    files = {"image": raw or "image.tif"}
    if second is not None:
        files["second"] = second
    if not made:
        files["clean"] = result or "result.tif"
    reading = [f"{name} = {reader(path)}" for name, path in files.items()]
    names = [*classes, "denoise"]
    imports = ["import tifffile"] if any(map(is_tiff, files.values())) else []
    imports += [f"from napari_lowdose import {', '.join(names)}"] * bool(made)
    imports += ["from napari_lowdose.inspection import report"]
    if not all(map(is_tiff, files.values())):
        imports.append("from napari_lowdose.io.readers import read_image")
    lines = list(reading)
    if at:
        lines += [f"{name} = {name}{at}" for name in files if name != "clean"]
    if region := given.get("region"):
        part = "[..., {}:{}, {}:{}]".format(*region)
        lines += [f"{name} = {name}{part}" for name in files if name != "clean"]
    if made:
        lines.append(f"clean = denoise({'(image, second)' if pair else 'image'}, {made})")
    else:
        lines.insert(0, "# It is not known how the result was made: it is read from its file.")
    if NETWORK in made:
        lines.insert(0, f"# Save the network that was applied as {NETWORK} first.")
    if raw is None:
        lines.insert(0, "# The raw image has no file of its own: save it as image.tif first.")
    options = ["second=second"] * (second is not None)
    if pixel_size is not None:
        options += [f"pixel_size={tuple(map(float, pixel_size))!r}", f"unit={unit!r}"]
    arguments = ", ".join(["image", "clean", repr(output), *options])
    return "\n".join([*imports, "", *lines, f"report({arguments})", ""])


def _expression(record: Mapping[str, Any]) -> tuple[list[str], str]:
    """Return the names to import and the expression that makes the engine; empty if unknown."""
    if record.get("engine") == "Noise2NoiseModel":  # its weights are in a file of its own
        return ["Noise2NoiseModel"], f"Noise2NoiseModel.load({NETWORK!r})"
    engine = _engine(record)
    if engine is None:
        return [], ""
    classes, made = expression(engine, NETWORK)
    return [each.__name__ for each in classes], made


def _engine(record: Mapping[str, Any]) -> Engine | None:
    """Return the engine with the recorded parameters; None if it cannot be made again."""
    kind = record.get("engine")
    parameters = {
        name: _hashable(value) for name, value in dict(record.get("parameters", {})).items()
    }
    training = record.get("training") or {}
    try:
        if kind == "Noise2Noise":
            parameters.pop("preview", None)
            if epochs := training.get("epochs"):  # whatever ended the training
                parameters.update(epochs=float(epochs), time_budget=None)
            return napari_lowdose.Noise2Noise(**parameters)
        if kind == "Reucid":
            for by_hand in record.get("kept_by_hand", ()):
                kept = _hashable(by_hand["kept"])
                parameters.update(n_stacks=len(kept), keep=kept[0] if len(kept) == 1 else kept)
            return napari_lowdose.Reucid(**parameters)
    except (TypeError, ValueError, KeyError, IndexError):  # a record of another version
        return None
    return None


def _hashable(value: Any) -> Any:
    """Return lists, as JSON has them, as tuples."""
    return tuple(map(_hashable, value)) if isinstance(value, (list, tuple)) else value
