"""Gain against spatial frequency: as measured, and the transfer function of REUCID."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_lowdose.inspection.pixel_scale import PIXELS, PixelScale
from napari_lowdose.inspection.power_spectrum import Rings, power_of, windowed_transform
from napari_lowdose.io.arrays import as_frame
from napari_lowdose.reucid.kernel import TransferFunction, kernel, transfer_function

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from numpy.typing import ArrayLike, NDArray

    from napari_lowdose.engine import Step
    from napari_lowdose.reucid import Reucid

CROP = 1024  # largest side of the middle of the image from which the eigenpatches are learnt


class Gain(NamedTuple):
    """Gain against spatial frequency.

    Attributes
    ----------
    frequency : (k,) float64 array
        1/unit.
    gain : (k,) float64 array
        1 where everything passes, 0 where nothing does.
    """

    frequency: NDArray[np.float64]
    gain: NDArray[np.float64]


def measured_gain(raw: ArrayLike, result: ArrayLike, *, scale: PixelScale = PIXELS) -> Gain:
    r"""Return the gain from the raw image to the result, ring by ring.

    .. math:: G(q) = \frac{\operatorname{Re} \sum_{k \in q} X(k) Y^*(k)}{\sum_{k \in q} |Y(k)|^2}

    with the transforms of the raw image :math:`Y` and of the result :math:`X`.  For a linear
    filter, such as REUCID with a single random stack, this is its transfer function, as a mean
    weighted by the power of the raw image.

    Parameters
    ----------
    raw, result : (Y, X) array
        Of the same shape.
    scale : PixelScale

    Returns
    -------
    Gain

    Raises
    ------
    ValueError
        If an image is not a single frame, or the shapes differ.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(64, 64))
    >>> bool(np.allclose(measured_gain(noise, noise / 2).gain, 0.5))
    True
    """
    one, other = as_frame(raw, "the raw image"), as_frame(result, "the result")
    if one.shape != other.shape:
        raise ValueError(
            f"The raw image has shape {one.shape} and the result {other.shape}: give a result of "
            "this image."
        )
    before, after = windowed_transform(one), windowed_transform(other)
    rings = Rings(one.shape, scale)
    common = rings.sums((after * before.conj()).real)
    power = rings.sums(power_of(before))
    gain = np.divide(common, power, out=np.zeros_like(common), where=power > 0)
    return Gain(rings.frequency, gain)


def reucid_of(record: Mapping[str, Any]) -> Reucid | None:
    """Return REUCID with the recorded parameters and one random stack; None if it was not that.

    Parameters
    ----------
    record : mapping
        Record of a result.

    Examples
    --------
    >>> reucid_of({"engine": "Reucid", "parameters": {"patch_size": 9, "n_stacks": 5}}).n_stacks
    1
    >>> reucid_of({"engine": "Noise2Noise", "parameters": {}}) is None
    True
    """
    from napari_lowdose.reucid import Reucid

    if record.get("engine") != "Reucid":
        return None
    parameters = dict(record.get("parameters", {}))
    if parameters.get("stacks", "random") != "random":
        return None  # not a convolution
    sizes = {each.get("patch_size") for each in record.get("steps", ())}
    if len(sizes) == 1 and parameters.get("patch_size") in (None, "auto"):
        parameters["patch_size"] = sizes.pop()  # what was found for the whole image
    parameters.update(n_stacks=1, keep=None)
    try:
        return Reucid(**parameters)
    except (TypeError, ValueError):  # a record of another version
        return None


def reucid_transfer_steps(
    raw: NDArray[Any], engine: Reucid, *, scale: PixelScale = PIXELS
) -> Generator[Step, None, TransferFunction]:
    """Learn the eigenpatches of an image, and return the transfer function of their kernel.

    Parameters
    ----------
    raw : (Y, X) array
        Of a larger image, the middle of 1024 x 1024 pixels is used.
    engine : Reucid
        With a single random stack.
    scale : PixelScale

    Yields
    ------
    Step

    Returns
    -------
    TransferFunction
    """
    corner = [max(0, (n - CROP) // 2) for n in raw.shape]
    middle = raw[tuple(slice(at, at + CROP) for at in corner)]
    learnt = yield from engine.learn_steps(middle, warn=False)
    stack = learnt.stack
    kept = stack.eigenpatches[stack.kept]
    return transfer_function(kernel(kept), (scale.height, scale.width))
