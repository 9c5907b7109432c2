"""Reading images of any format: TIFF, zarr, PNG, and the formats of installed napari plugins."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.error_line import one_line
from napari_lowdose.io.ome_xml import positive_length
from napari_lowdose.io.ome_zarr import unit_symbol
from napari_lowdose.io.tiff import TIFF_MAGIC, ImageFile, first_bytes, read_tiff
from napari_lowdose.io.tiff_flavours import TIFF_SUFFIXES, written_as
from napari_lowdose.io.zarr_folder import is_zarr, read_zarr

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

#: Suffixes of the image files in a folder; TIFFs are found under any name.
SUFFIXES = (*TIFF_SUFFIXES, ".dm3", ".dm4", ".emd", ".ser", ".mrc")
_TIFF_AXES = {2: "YX", 3: "TYX", 4: "TZYX", 5: "TZCYX"}
_PICTURE_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8")  # PNG, JPEG, GIF
_GREY_MODES = ("1", "L", "I", "F")  # Pillow modes, besides those of 16 bits


def read_image(path: str | os.PathLike[str]) -> ImageFile:
    """Read a TIFF, a zarr folder, a PNG, or any format that an installed napari plugin reads.

    TIFF and PNG files are recognised by their content, not their name.  napari itself is not
    imported; its plugins are called through npe2.

    Parameters
    ----------
    path : path
        File, or folder of a zarr array or OME-Zarr image.

    Returns
    -------
    ImageFile
        With pixels (..., Y, X) of any real dtype.  Results of formats other than TIFF and zarr
        are written as ImageJ TIFFs.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    OSError
        If the file cannot be opened.
    ValueError
        If no reader can read the file, or it does not hold exactly one greyscale image.
    """
    path = Path(path)
    if not path.exists() and any(character in path.name for character in "*?["):
        raise FileNotFoundError("No file matches this pattern.")
    if is_zarr(path) or path.suffix == ".zarr":
        return read_zarr(path)
    if stat.S_ISDIR(path.stat().st_mode):
        raise ValueError("This is a folder without an image in zarr format; name a file.")
    start = first_bytes(path)
    if start.startswith(_PICTURE_MAGIC):
        return _read_picture(path)
    # A damaged file with a TIFF name gets the message of the TIFF reader
    if start.startswith(TIFF_MAGIC) or path.suffix.lower() in TIFF_SUFFIXES:
        return read_tiff(path)
    try:
        return _from_layers(path, _read_with_plugins(path))
    except (ValueError, OSError, MemoryError):
        raise
    except Exception as error:  # plugins may return data of any type
        raise ValueError(f"The image in this file cannot be used ({one_line(error)}).") from error


def images_in(folder: Path) -> list[Path]:
    """Return the images in a folder, in alphabetical order.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    list of Path
        TIFFs of any name, files with one of `SUFFIXES`, and zarr folders.  Hidden files and
        subfolders are skipped.
    """
    return sorted(p for p in folder.iterdir() if not p.name.startswith(".") and is_image(p))


def is_image(path: Path) -> bool:
    """Return whether a path in a folder is an image, as in `images_in`; pixels are not read."""
    if path.is_dir():
        return is_zarr(path) or path.suffix == ".zarr"
    if path.suffix.lower() in SUFFIXES:
        return path.is_file()
    try:
        return path.is_file() and first_bytes(path).startswith(TIFF_MAGIC)
    except OSError:
        return False


def _read_picture(path: Path) -> ImageFile:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            n_frames, mode = getattr(picture, "n_frames", 1), picture.mode
            pixels = np.asarray(picture)
            palette = picture.getpalette() if mode == "P" else None
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises various exceptions on a damaged file
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"This picture cannot be read ({one_line(error)}).") from error
    if n_frames > 1:
        raise ValueError(f"There are {n_frames} images in this file; save one as TIFF.")
    if palette is not None:
        colours = np.reshape(palette, (-1, 3))
        if (colours == colours[:, :1]).all():
            return as_image_file(path, colours.astype(np.uint8)[pixels, 0], None)
    if mode not in _GREY_MODES and not mode.startswith("I;16"):
        raise ValueError("This is a colour (RGB) image; save one channel of it as TIFF.")
    return as_image_file(path, pixels, None)


def _from_layers(path: Path, found: list[Any]) -> ImageFile:
    """Return the only image among the layer data that a plugin returned."""
    # Low-dose counts have few distinct values, so some readers return them as labels
    layers = [layer for layer in found if _kind(layer) in ("image", "labels")]
    if not layers:
        raise ValueError("There is no image in this file.")
    pixels, options = layers[0][0], dict(layers[0][1] if len(layers[0]) > 1 else {})
    # RosettaSciIO's reader returns two real layers for complex pixels; the metadata keep the pixels
    metadata = options.get("metadata")
    original = metadata.get("data") if isinstance(metadata, dict) else None
    if any(np.iscomplexobj(data) for data in (pixels, original) if data is not None):
        raise ValueError("The pixels are complex numbers; save their modulus or phase as TIFF.")
    if len(layers) > 1:
        raise ValueError(
            f"There are {len(layers)} images in this file; save the one to be denoised as TIFF."
        )
    if not hasattr(pixels, "dtype"):
        pixels = np.asarray(pixels)
    shape = tuple(pixels.shape)
    rgb = options.get("rgb")
    if rgb or (rgb is None and len(shape) > 2 and shape[-1] in (3, 4) and pixels.dtype == np.uint8):
        raise ValueError("This is a colour (RGB) image; save one channel of it as TIFF.")
    if len(shape) not in _TIFF_AXES:
        raise ValueError(f"An image needs two to five axes, the one in this file has {len(shape)}.")
    return as_image_file(path, pixels, _pixel_size(options))


def _read_with_plugins(path: Path) -> list[Any]:
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
    except Exception as error:  # plugins raise exceptions of any type
        raise ValueError(
            f"No installed napari plugin could read this file ({one_line(error)})."
        ) from error


def _no_reader(path: Path) -> str:
    kind = f"{path.suffix} files" if path.suffix else "files without a suffix"
    return (
        f"No installed napari plugin reads {kind}; for microscope formats (DM3, DM4, EMD, SER,"
        ' MRC): pip install "rosettasciio[hdf5]" and pip install --no-deps napari-rosettasciio.'
    )


def _kind(layer: Any) -> str:
    return str(layer[2]) if len(layer) > 2 else "image"


def _pixel_size(options: Mapping[str, Any]) -> tuple[tuple[float, float], str] | None:
    """Return the pixel size (height, width) and its unit; None unless both are known."""
    try:
        height, width = (positive_length(str(abs(float(size)))) for size in options["scale"][-2:])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    units = options.get("units")
    if units is None:  # RosettaSciIO's reader leaves them in the description of the axes
        metadata = options.get("metadata")
        axes = metadata.get("axes") if isinstance(metadata, dict) else None
        described = axes if isinstance(axes, (list, tuple)) else ()
        units = [axis.get("units") for axis in described if isinstance(axis, dict)]
    unit = units if isinstance(units, str) else next(reversed(list(units or ())), None)
    has_unit = unit is not None and str(unit) not in ("", "pixel", "px", "<undefined>")
    if height is None or width is None or not has_unit:
        return None
    return (height, width), str(unit)


def as_image_file(
    path: Path, pixels: Any, calibration: tuple[tuple[float, float], str] | None
) -> ImageFile:
    """Return an image that is no TIFF, whose results are ImageJ TIFFs.

    Parameters
    ----------
    path : Path
        Its file, or a name for it.
    pixels : (..., Y, X) array
        Two to five axes.
    calibration : ((float, float), str) or None
        Height and width of a pixel, and their unit, as a name or a symbol.
    """
    axes = _TIFF_AXES[len(pixels.shape)]
    pixel_size, unit = calibration or (None, None)
    unit = None if unit is None else unit_symbol(unit)
    return ImageFile(
        pixels=pixels,
        axes=axes,
        pixel_size=pixel_size,
        unit=unit,
        source=path,
        **written_as(axes, pixel_size, unit),
    )
