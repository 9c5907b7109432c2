"""Image layers: choice, frame in view, file, axes, pixel size, and validation."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from magicgui.widgets import ComboBox
from napari.layers import Image

from napari_lowdose.noise2noise import pixel_size_warning
from napari_lowdose.pairs.view_map import ViewMap
from napari_lowdose.widgets.result_layer import is_result, layer_pixels, placement

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari.components import Dims, LayerList

    from napari_lowdose.noise2noise import Noise2NoiseModel
    from napari_lowdose.pairs.view_map import Matrix


def layer_combo(
    layers: Iterable[Any], kind: type[Any] = Image, others: Sequence[str] = ()
) -> ComboBox:
    """Return a combo box of layers, which are read again at every `reset_choices`.

    Parameters
    ----------
    layers : iterable of Layer
    kind : type
        Type of the layers to offer.
    others : sequence of str
        Choices above the layers.

    Returns
    -------
    magicgui.widgets.ComboBox
    """

    def choices(_: Any) -> list[tuple[str, Any]]:
        found = [(each.name, each) for each in layers if isinstance(each, kind)]
        return [*((text, text) for text in others), *found]

    return ComboBox(choices=choices, nullable=False)


def suggested_layer(layers: LayerList) -> Image | None:
    """Return the layer to suggest for denoising: the active image, or the topmost one.

    Parameters
    ----------
    layers : LayerList

    Returns
    -------
    Image or None
        A result only if there is no other image.
    """
    images = _images(layers)
    active = layers.selection.active
    if active in images:
        return active
    return next((layer for layer in reversed(images) if layer.visible), (images or [None])[-1])


def suggested_pair(layers: LayerList) -> tuple[Image | None, Image | None]:
    """Return the two layers to suggest as a pair.

    Parameters
    ----------
    layers : LayerList

    Returns
    -------
    (Image or None, Image or None)
        The two selected layers, or else the topmost two visible ones of the same shape, the
        lower one first.  Twice the same if there is only one image.
    """
    images = _images(layers)
    selected = [layer for layer in images if layer in layers.selection]
    if len(selected) == 2:
        return selected[0], selected[1]
    # Hidden layers are seldom exposures: the samples hide the noise-free image.
    seen = [layer for layer in images if layer.visible] or images
    for n, second in reversed(list(enumerate(seen))):
        for first in reversed(seen[:n]):
            if _shape(first) == _shape(second) and first.rgb == second.rgb:
                return first, second
    if len(images) > 1:
        return images[-2], images[-1]
    return (images[0], images[0]) if images else (None, None)


def frame_in_view(dims: Dims, layer: Image) -> tuple[int, ...]:
    """Return the index of the frame of `layer` that is in view, or the nearest one."""
    shape = _shape(layer)[:-2]
    position = _position(dims, layer)
    return tuple(
        int(np.clip(np.round(at), 0, n - 1)) for at, n in zip(position, shape, strict=True)
    )


def view_error(dims: Dims, layer: Image, all_frames: bool = False) -> str:
    """Return why the frame of `layer` on the canvas cannot be denoised, in one sentence.

    Parameters
    ----------
    dims : Dims
    layer : Image
    all_frames : bool
        Whether to denoise all frames, or the one in view.

    Returns
    -------
    str
        Empty if it can: the last two axes of the layer, its frames, are on the canvas, in any
        order.
    """
    ndim = len(_shape(layer))
    if ndim < 3:
        return ""
    name = f"'{layer.name}'"
    if dims.ndisplay == 3:  # there is no frame in view
        if all_frames:
            return ""
        return f"{name} is shown in 3D: switch to 2D to choose a frame, or choose all frames."
    # napari aligns layers of fewer dimensions at the last axes.
    offset = dims.ndim - ndim
    shown = sorted([axis - offset for axis in dims.order if axis >= offset][-2:])
    if shown != [ndim - 2, ndim - 1]:
        one, other = shown
        return (
            f"{name} is seen along another axis: on the canvas are its axes {one} and {other}, but "
            f"its frames are axes {ndim - 2} and {ndim - 1}. Roll the dimensions back, or, if the "
            f"canvas shows a frame, add the data again as "
            f"np.moveaxis(layer.data, ({one}, {other}), (-2, -1))."
        )
    if all_frames:
        return ""
    position = _position(dims, layer)
    inside = all(0 <= np.round(at) < n for at, n in zip(position, _shape(layer)[:-2], strict=True))
    return "" if inside else f"{name} has no frame at this position of the sliders: move them."


def _position(dims: Dims, layer: Image) -> list[float]:
    """Return the slider positions along the leading axes of `layer`, in its pixels.

    As in napari, which slices a layer rotated out of the canvas as if it were not rotated.
    """
    n_leading = len(_shape(layer)) - 2
    point = [*dims.point[-n_leading - 2 : -2], 0.0, 0.0]
    return [float(at) for at in layer.world_to_data(point)[:n_leading]]


def _images(layers: LayerList) -> list[Image]:
    images = [layer for layer in layers if isinstance(layer, Image)]
    return [layer for layer in images if not is_result(layer)] or images


def _shape(layer: Image) -> tuple[int, ...]:
    return tuple(layer_pixels(layer).shape)


SAMPLES = "try one of File > Open Sample > napari-lowdose"
NO_IMAGE = f"Open an image to begin, or {SAMPLES}. (Labels are not images.)"
NO_PAIR = f"Open the two exposures to begin, as image layers, or {SAMPLES}."
ONE_LAYER = "Choose two different layers: a network cannot learn from an image paired with itself."


def validation_error(layer: Image | None) -> str:
    """Return why `layer` cannot be denoised, and a remedy; empty if it can.

    Parameters
    ----------
    layer : Image or None
        None if there is no image layer.
    """
    if layer is None:
        return NO_IMAGE
    name = f"'{layer.name}'"
    if layer.rgb:
        return f"{name} is a colour image: split its channels first (right-click, Split RGB)."
    dtype = np.dtype(layer.dtype)
    if dtype == np.bool_:
        return f"{name} is a mask (boolean): choose the image it was made from."
    if np.issubdtype(dtype, np.complexfloating):
        return f"{name} is complex: denoise its real and imaginary parts, or its modulus."
    return ""


def pair_error(first: Image | None, second: Image | None) -> str:
    """Return why two layers cannot be a pair for training; empty if they can.

    Parameters
    ----------
    first, second : Image or None
    """
    if first is None or second is None:
        return NO_PAIR
    if reason := raw_error(first) or raw_error(second):
        return reason
    return ONE_LAYER if first is second else ""


def raw_error(layer: Image | None) -> str:
    """Return why `layer` cannot be an exposure, or hold some; empty if it can."""
    if reason := validation_error(layer):
        return reason
    assert layer is not None  # or it is no valid layer
    return not_raw_error(layer.name) if is_result(layer) else ""


def not_raw_error(name: str) -> str:
    """Return why the layer `name`, a result, cannot be an exposure."""
    return f"'{name}' is a result: choose two raw exposures."


def already_denoised_warning(layer: Image) -> str:
    """Return a warning if `layer` is a result or a residual; otherwise empty."""
    if not is_result(layer):
        return ""
    return (
        f"'{layer.name}' is a result already: denoising it again removes detail, and its noise is "
        "not that of an exposure; choose the raw image."
    )


TIFF = (".tif", ".tiff")
CHANNEL = ("c", "ch", "channel", "channels", "wavelength")
ROW_STEP = 64  # one of this many rows of the first frame is compared with the file


def layer_file(layer: Image | None) -> str | None:
    """Return the file whose pixels `layer` shows, complete and unchanged.

    A layer keeps the path that it was loaded from, even if its data are replaced.

    Parameters
    ----------
    layer : Image or None

    Returns
    -------
    str or None
        None if there is no single file (a folder, a stack of several files), or if the data
        were cropped or replaced.  For a TIFF, shape, dtype and a few rows are compared; other
        formats would have to be read again.
    """
    path = layer.source.path if layer is not None else None
    if layer is None or path is None or not Path(path).is_file():
        return None
    tiff = Path(path).suffix.lower() in TIFF
    return str(path) if not tiff or _shows(layer_pixels(layer), path) else None


def axis_names(layer: Image) -> tuple[str, ...]:
    """Return the names of the axes of `layer` in lower case; empty strings if unknown.

    Parameters
    ----------
    layer : Image

    Returns
    -------
    tuple of str
        The labels of the layer; if they are napari's defaults (-3, -2, -1), the axes of its
        TIFF.
    """
    labels = tuple(str(label).strip().lower() for label in layer.axis_labels)
    path = None if any(map(_is_name, labels)) else layer_file(layer)
    if path is not None and Path(path).suffix.lower() in TIFF:
        with contextlib.suppress(Exception), tifffile.TiffFile(path) as file:
            labels = tuple(file.series[0].axes.lower())
    names = tuple(label if _is_name(label) else "" for label in labels)
    return names if len(names) == layer.ndim else ("",) * layer.ndim


def channel_axis(names: Sequence[str]) -> int | None:
    """Return the leading axis that is named as channels; None if there is none."""
    return next((n for n, name in enumerate(names[:-2]) if name in CHANNEL), None)


def _is_name(label: str) -> bool:
    return label[:1].isalpha() and label not in ("q", "i")  # tifffile's names of unknown axes


def _shows(data: Any, path: str) -> bool:
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            if series.shape != data.shape or series.dtype != data.dtype:
                return False
            mappable = series.dataoffset is not None
        if not mappable or not isinstance(data, np.ndarray):
            return True
        rows: tuple[Any, ...] = (*(0,) * (data.ndim - 2), slice(None, None, ROW_STEP))
        return bool((tifffile.memmap(path, mode="r")[rows] == data[rows]).all())
    except Exception:  # tifffile raises any exception for damaged files
        return False


SOME_UNIT = "units"  # scales without a unit can be compared, too
UNKNOWN_PIXEL_SIZE = (
    "the pixel size of the training images of this network is not known: apply it only to images "
    "of the same pixel size."
)


def layer_pixel_size(layer: Image) -> tuple[tuple[float, float] | None, str | None]:
    """Return height and width of a pixel, and their unit; (None, None) if unknown.

    Parameters
    ----------
    layer : Image
    """
    height, width = (abs(float(each)) for each in layer.scale[-2:])
    unit = f"{layer.units[-1]:~}" if layer.units else ""
    if unit not in ("", "px", "pix", "pixel"):
        return (height, width), unit
    return (None, None) if height == width == 1 else ((height, width), SOME_UNIT)


def pixel_size_note(model: Noise2NoiseModel, layer: Image) -> str:
    """Return a warning if the pixel sizes of a network and a layer differ, or may differ.

    Parameters
    ----------
    model : Noise2NoiseModel
    layer : Image

    Returns
    -------
    str
        Empty if they agree, or if that of the layer is unknown.
    """
    size, unit = layer_pixel_size(layer)
    if size is None:
        return ""
    if model.pixel_size is None:
        return UNKNOWN_PIXEL_SIZE
    return pixel_size_warning(model, size, unit) or ""


SHIFT_KEY = "napari-lowdose pair"


def remember_shift(
    first: Image, second: Image, shift: tuple[float, float], affine: Matrix | None = None
) -> None:
    """Store the shift (dy, dx) of `second` against `first`, pixels, or their affine map."""
    second.metadata[SHIFT_KEY] = {
        "first": first.name,
        "shift": [float(each) for each in shift],
        "affine": affine,
    }


def known_shift(first: Image, second: Image) -> tuple[float, float]:
    """Return the stored shift (dy, dx) of `second` against `first`, pixels; zero if unknown."""
    for one, other, sign in ((first, second, 1), (second, first, -1)):
        known = other.metadata.get(SHIFT_KEY, {})
        if known.get("first") == one.name:
            dy, dx = known["shift"]
            return sign * float(dy), sign * float(dx)
    return 0.0, 0.0


def known_affine(first: Image, second: Image) -> Matrix | None:
    """Return the stored affine map from `first` to `second`; None if there is none."""
    for one, other, forward in ((first, second, True), (second, first, False)):
        known = other.metadata.get(SHIFT_KEY, {})
        if known.get("first") == one.name and known.get("affine") is not None:
            view_map = ViewMap(known["affine"])
            return view_map.matrix if forward else view_map.inverse.matrix
    return None


def add_pair(
    layers: LayerList,
    source: Image,
    exposures: Sequence[tuple[Any, str, tuple[float, float], dict[str, Any]]],
    shift: tuple[float, float],
    affine: Matrix | None = None,
) -> tuple[Image, Image]:
    """Add the two exposures of a pair as layers, aligned with `source`.

    Parameters
    ----------
    layers : LayerList
    source : Image
        Layer that the exposures were cut from.
    exposures : two of (array, str, (float, float), dict)
        Pixels, name of the layer, position (y, x) of the first pixel in pixels of `source`, and
        further arguments of the layer.
    shift : (float, float)
        Remaining shift (dy, dx) of the second exposure against the first, pixels.
    affine : 2 x 3 matrix, optional
        Map from the first exposure to the second, if they differ by more than a shift.
    """
    first, second = (
        Image(data, name=name, multiscale=False, **placement(source, data.ndim, corner) | options)
        for data, name, corner, options in exposures
    )
    layers.append(first)
    layers.append(second)
    # Afterwards: the layer list gives layers unique names, and the shift is stored with the name.
    remember_shift(first, second, shift, affine)
    return first, second
