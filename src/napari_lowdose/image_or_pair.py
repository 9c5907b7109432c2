"""Check the input of a run: an image or a pair, and an engine that takes it."""

from __future__ import annotations

import os
from typing import Any

from napari_lowdose.engine import Engine
from napari_lowdose.frames import ImageOrPair
from napari_lowdose.imaging.image_checks import check_same_shape, check_shape
from napari_lowdose.io.arrays import as_image
from napari_lowdose.warned import warn


def image_or_pair(given: Any, engine: Engine) -> ImageOrPair:
    """Check the input of an engine, and the engine. An input that was checked before is returned.

    Parameters
    ----------
    given : (..., Y, X) array, tuple of two, or ImageOrPair
        A tuple is always a pair.
    engine : Engine

    Raises
    ------
    ValueError
        If `engine` is no engine, if it takes the other of the two, if the pair is none, or an image
        is empty or has fewer than two axes.
    """
    if isinstance(given, ImageOrPair):  # checked before; a dask graph takes long to walk
        return given
    check_engine(engine)
    name = type(engine).__name__
    takes = engine.takes
    if not isinstance(given, tuple):
        if takes == "pair":
            raise ValueError(
                f"{name} takes a pair, a tuple (first, second) of two exposures of one scene, and "
                "this is one array."
            )
        return ImageOrPair((_exposure(given, "the image"),))
    if takes == "image":
        raise ValueError(
            f"{name} takes one image, and this is a pair (a tuple): denoise one by itself, or give "
            "both to Noise2Noise()."
        )
    if len(given) != 2:
        raise ValueError(f"A pair is a tuple of two arrays; this tuple has {len(given)}.")
    names = ("the first exposure", "the second exposure")
    exposures = tuple(map(_exposure, given, names))
    check_same_shape(*exposures)
    return ImageOrPair(exposures)


def _exposure(given: Any, name: str) -> Any:
    """Return pixels; those of a zarr array in its order of axes, and read with care."""
    image = as_image(given, name)
    check_shape(image)
    if hasattr(image, "store_path"):
        from napari_lowdose.io.zarr_folder import check_order
        from napari_lowdose.io.zarr_frames import as_zarr_frames

        check_order(image)
        return as_zarr_frames(image)
    if hasattr(image, "dask"):
        from napari_lowdose.io.input_files import missing_chunks

        if (sentence := missing_chunks(image)) is not None:
            warn(sentence, stacklevel=4)
    return image


def check_engine(engine: Any, *others: object) -> None:
    """Raise ValueError, with the call to write instead, if `engine` is no engine.

    Parameters
    ----------
    engine : Engine
    *others : object
        Further positional arguments, which no function takes.
    """
    if isinstance(engine, Engine) and not others:
        return
    if others or hasattr(engine, "shape") or isinstance(engine, list):
        raise ValueError(
            "the two exposures of a pair are given as one tuple: "
            "denoise((first, second), Noise2Noise())."
        )
    if isinstance(engine, type):
        raise ValueError(f"the engine is the class {engine.__name__}: write {engine.__name__}().")
    if isinstance(engine, (str, bytes, os.PathLike)):
        raise ValueError(
            f"the engine is the text {str(engine)!r}: write Reucid(), Noise2Noise(), or "
            "Noise2NoiseModel.load(path) for the file of a network."
        )
    raise ValueError(
        f"the engine is {engine!r}: use Reucid() for an image, Noise2Noise() for a pair, or a "
        "trained network."
    )
