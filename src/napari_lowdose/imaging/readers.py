"""Other formats (DM3, DM4, EMD, SER, ...), through whatever napari readers are installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.imaging.tiff import ImageFile, read_tiff

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

#: Endings of the files that are looked for in a folder.
SUFFIXES = (".tif", ".tiff", ".dm3", ".dm4", ".emd", ".ser", ".mrc")
_TIFF_AXES = {2: "YX", 3: "TYX", 4: "TZYX", 5: "TZCYX"}


def read_image(path: str | os.PathLike[str]) -> ImageFile:
    """Read a TIFF, or anything that an installed napari plugin reads.

    napari itself is not loaded; the plugins are asked through npe2.

    Parameters
    ----------
    path : path

    Returns
    -------
    ImageFile
        Of other formats one that is written as an ImageJ TIFF.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If nothing can read it, or it holds no single greyscale image.
    """
    path = Path(path)
    if path.suffix.lower() in (".tif", ".tiff"):
        return read_tiff(path)
    with open(path, "rb"):  # missing or forbidden: say so, whatever the plugins would
        pass
    layers = [layer for layer in _ask_plugins(path) if _kind(layer) in ("image", "labels")]
    if not layers:
        raise ValueError("There is no image in this file.")
    pixels, options = layers[0][0], (layers[0][1] if len(layers[0]) > 1 else {})
    original = (options.get("metadata") or {}).get("data")
    if any(np.iscomplexobj(data) for data in (pixels, original) if data is not None):
        raise ValueError("The pixels are complex numbers; save their modulus or phase as TIFF.")
    if len(layers) > 1:
        raise ValueError(
            f"There are {len(layers)} images in this file; save the one to be denoised as TIFF."
        )
    shape = tuple(getattr(pixels, "shape", ()))
    rgb = options.get("rgb")
    if rgb or (rgb is None and len(shape) > 2 and shape[-1] in (3, 4) and pixels.dtype == np.uint8):
        raise ValueError("This is a colour (RGB) image; save one channel of it as TIFF.")
    if len(shape) not in _TIFF_AXES:
        raise ValueError(f"An image needs two to five axes, the one in this file has {len(shape)}.")
    return _as_image_file(path, pixels, _pixel_size(options))


def _ask_plugins(path: Path) -> list[Any]:
    try:
        from npe2 import PluginManager, read
    except ImportError:
        raise ValueError(_no_reader(path)) from None
    manager = PluginManager.instance()
    manager.discover()
    if next(iter(manager.iter_compatible_readers([str(path)])), None) is None:
        raise ValueError(_no_reader(path))
    try:
        return list(read([str(path)], stack=False))
    except Exception as error:  # a plugin may raise anything
        raise ValueError(f"No installed napari plugin could read this file ({error}).") from error


def _no_reader(path: Path) -> str:
    kind = f"{path.suffix} files" if path.suffix else "files without an ending"
    return (
        f"No installed napari plugin reads {kind}; for microscope formats (DM3, DM4, EMD, SER,"
        ' MRC): pip install "rosettasciio[hdf5]" and pip install --no-deps napari-rosettasciio.'
    )


def _kind(layer: Any) -> str:
    # Counts of a low dose have few distinct values, which some readers take for labels.
    return str(layer[2]) if len(layer) > 2 else "image"


def _pixel_size(options: Mapping[str, Any]) -> tuple[tuple[float, float], str] | None:
    scale = options.get("scale")
    if scale is None or len(scale) < 2:
        return None
    units = options.get("units")
    if units is None:  # RosettaSciIO's reader leaves them where the file's axes are described
        axes = (options.get("metadata") or {}).get("axes") or []
        units = [axis.get("units") for axis in axes if isinstance(axis, dict)]
    unit = units if isinstance(units, str) else (list(units) or [None])[-1]
    height, width = (abs(float(size)) for size in scale[-2:])
    if unit is None or str(unit) in ("", "pixel", "px", "<undefined>") or not height * width:
        return None
    return (height, width), str(unit)


def _as_image_file(
    path: Path, pixels: Any, calibration: tuple[tuple[float, float], str] | None
) -> ImageFile:
    axes = _TIFF_AXES[len(pixels.shape)]
    options: dict[str, Any] = {"metadata": {"axes": axes}}
    if calibration is not None:
        (height, width), unit = calibration
        options["resolution"] = (1 / width, 1 / height)
        options["resolutionunit"] = 1  # the unit is in ImageJ's description
        options["metadata"]["unit"] = unit
    return ImageFile(
        pixels=pixels,
        axes=axes,
        pixel_size=calibration and calibration[0],
        unit=calibration and calibration[1],
        flavour="imagej",
        source=path,
        options=options,
    )
