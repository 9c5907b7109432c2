"""What an engine is given: an image, or a pair of them."""

from __future__ import annotations

import math
import os
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.io.arrays import as_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_lowdose.engine import Engine


@dataclass(frozen=True, eq=False)
class ImageOrPair:
    """One array (..., Y, X), or the two exposures of a pair; nothing of it is read yet.

    Attributes
    ----------
    exposures : tuple of one or two (..., Y, X) arrays
    """

    exposures: tuple[Any, ...]

    @property
    def given(self) -> Any:
        """The array, or the tuple of two, as `Engine.steps` takes it."""
        return self.exposures if len(self.exposures) == 2 else self.exposures[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result."""
        return tuple(self.exposures[0].shape)

    @property
    def leading(self) -> tuple[int, ...]:
        """Shape without rows and columns."""
        return self.shape[:-2]

    @property
    def n_frames(self) -> int:
        """How many frames, or pairs of frames."""
        return math.prod(self.leading)

    @property
    def in_memory(self) -> bool:
        """Whether all is NumPy."""
        return all(isinstance(exposure, np.ndarray) for exposure in self.exposures)

    @property
    def is_dask(self) -> bool:
        """Whether any of it is a dask array."""
        dask = sys.modules.get("dask.array")  # not loaded: nobody has such an array
        return dask is not None and any(isinstance(e, dask.Array) for e in self.exposures)

    def frames(self, index: tuple[int, ...]) -> tuple[NDArray[Any], ...]:
        """Read the frame `index`: one (Y, X) array, or the two of a pair."""
        return tuple(np.asarray(exposure[index]) for exposure in self.exposures)

    def first_guess(self) -> NDArray[np.float32]:
        """Return what there is before denoising: the (first) input, or NaN where it is lazy."""
        if isinstance(self.exposures[0], np.ndarray):
            return self.exposures[0].astype(np.float32)
        # To read a lazy movie here would be to read it twice
        return np.full(self.shape, np.nan, np.float32)

    def about(self) -> dict[str, Any]:
        """Return shape and dtype, as JSON-ready values; for a pair those of both."""
        told = [{"shape": list(e.shape), "dtype": str(e.dtype)} for e in self.exposures]
        return dict(zip(("first", "second"), told, strict=True)) if len(told) == 2 else told[0]


def image_or_pair(given: Any, engine: Engine) -> ImageOrPair:
    """Check what a person gives to an engine, and the engine.

    Parameters
    ----------
    given : (..., Y, X) array, or tuple of two
        A tuple is always a pair.
    engine : Engine

    Raises
    ------
    ValueError
        If `engine` is no engine, if it takes the other of the two, or the pair is none.
    """
    check_engine(engine)
    name = type(engine).__name__
    takes = getattr(engine, "takes", "either")
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
    first, second = (tuple(exposure.shape) for exposure in exposures)
    if first != second:
        raise ValueError(
            f"The two of a pair must have the same shape, and these are {first} and {second}: crop "
            "them to the scene that both show (register_pair does)."
        )
    return ImageOrPair(exposures)


def _exposure(given: Any, name: str) -> Any:
    """Return pixels; those of a zarr array in its order of axes, and read with care."""
    image = as_image(given, name)
    if hasattr(image, "store_path"):
        from napari_lowdose.io.zarr_folder import check_order
        from napari_lowdose.io.zarr_frames import checked

        check_order(image)
        return checked(image)
    if hasattr(image, "dask"):
        from napari_lowdose.io.input_files import missing_chunks

        if (sentence := missing_chunks(image)) is not None:
            warnings.warn(sentence, UserWarning, stacklevel=4)
    return image


def check_engine(engine: Any, *others: object) -> None:
    """Raise ValueError, with the call to write instead, if `engine` is no engine.

    Parameters
    ----------
    engine : Engine
    *others : object
        Further positional arguments, which no function takes.
    """
    can_run = any(callable(getattr(engine, name, None)) for name in ("steps", "training_steps"))
    if can_run and not isinstance(engine, type) and not others:
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


def frame_index(number: int, leading: tuple[int, ...]) -> tuple[int, ...]:
    """Return the index of frame `number` along the leading axes."""
    return tuple(map(int, np.unravel_index(number, leading))) if leading else ()
