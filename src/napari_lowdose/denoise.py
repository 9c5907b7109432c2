"""The one door for scripts, command line and widgets: run an engine on an image."""

from __future__ import annotations

import dataclasses
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_lowdose.steps import Engine, Step


class Run:
    """One engine at work on one image: iterate to advance, read `image` at any time.

    Parameters
    ----------
    image : (..., Y, X) array
        NumPy, dask or zarr; denoised frame by frame over the last two axes.
    engine : Engine
        The method with its parameters, for example ``Reucid()``.

    Attributes
    ----------
    image : (..., Y, X) float32 array
        The result so far.  Frames not reached yet show the input, or NaN where the input is
        lazy (dask, zarr) and has not been read.
    finished : bool
        False until the engine has come to its end.
    """

    def __init__(self, image: Any, engine: Engine) -> None:
        self.input = image if hasattr(image, "shape") else np.asarray(image)
        self.engine = engine
        self.finished = False
        self._image: NDArray[np.float32] | None = None
        self._records: list[dict[str, Any]] = []

    @property
    def image(self) -> NDArray[np.float32]:
        """The result so far, in the input's shape and units."""
        if self._image is None:
            if isinstance(self.input, np.ndarray):
                self._image = self.input.astype(np.float32)
            else:  # to read a lazy movie here would be to read it twice
                self._image = np.full(self.input.shape, np.nan, np.float32)
        return self._image

    def __iter__(self) -> Iterator[Step]:
        """Yield the engine's steps; `seconds_left` is filled in from the pace so far."""
        self.finished = False
        self._records.clear()
        start = time.perf_counter()
        for step in self.engine.steps(self.input):
            if step.image is not None:
                self.image[step.index] = step.image
            if record := step.record():
                self._records.append({"index": list(step.index), **record})
            if step.seconds_left is None and step.fraction > 0:
                elapsed = time.perf_counter() - start
                left = elapsed * (1 / step.fraction - 1)
                step = dataclasses.replace(step, seconds_left=left)
            yield step
        self.finished = True

    def record(self) -> dict[str, Any]:
        """Return what was done, as JSON-ready values: engine, parameters, versions, steps."""
        return {
            "engine": type(self.engine).__name__,
            "parameters": _parameters(self.engine),
            "finished": self.finished,
            "input": {"shape": list(self.input.shape), "dtype": str(self.input.dtype)},
            "steps": list(self._records),
            "versions": _versions("napari-lowdose", "numpy", "scipy", "scikit-image"),
        }


def denoise(image: Any, engine: Engine) -> NDArray[np.float32]:
    """Denoise an image, or a stack of frames, to the end.

    Parameters
    ----------
    image : (..., Y, X) array
        Any integer or floating dtype.  Leading axes are frames, each denoised
        by itself.
    engine : Engine
        The method with its parameters, for example ``Reucid()``.

    Returns
    -------
    (..., Y, X) float32 array
        In the units of `image`.

    Raises
    ------
    ValueError
        If the image cannot be denoised as it is; the sentence says why and
        what to do.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_lowdose import Reucid, denoise
    >>> y, x = np.mgrid[:64, :64]
    >>> truth = 50 + 40 * np.sin(x / 3) * np.sin(y / 3)
    >>> noisy = np.random.default_rng(0).poisson(truth)
    >>> clean = denoise(noisy, Reucid(patch_size=9))
    >>> clean.shape, clean.dtype
    ((64, 64), dtype('float32'))
    >>> bool(np.std(clean - truth) < np.std(noisy - truth) / 2)
    True
    """
    run = Run(image, engine)
    for _ in run:
        pass
    return run.image


def denoise_steps(image: Any, engine: Engine) -> Iterator[Step]:
    """Denoise step by step: stop iterating to cancel, and keep the last image.

    Parameters
    ----------
    image : (..., Y, X) array
    engine : Engine

    Yields
    ------
    Step
        `image` is the current frame as denoised so far (float32, or None);
        `index` says which frame it is.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_lowdose import Reucid, denoise_steps
    >>> fringes = 9 + 6 * np.cos(np.arange(48) / 2)
    >>> noisy = np.random.default_rng(0).poisson(fringes, (48, 48))
    >>> engine = Reucid(patch_size=7, n_stacks=5)
    >>> images = [s.image for s in denoise_steps(noisy, engine) if s.image is not None]
    >>> len(images)
    5
    """
    yield from Run(image, engine)


def as_python(engine: Engine, path: str = "image.tif") -> str:
    """Return a script that does the same as `engine` did, on the file `path`.

    Parameters keep out of it where they have their defaults.  Other formats than TIFF are
    read by the napari plugins that are installed.
    """
    name = type(engine).__name__
    changed = {
        f.name: value
        for f in dataclasses.fields(engine)  # type: ignore[arg-type]
        if (value := getattr(engine, f.name)) != f.default
    }
    parameters = ", ".join(f"{key}={value!r}" for key, value in changed.items())
    tiff = path.lower().endswith((".tif", ".tiff"))
    reader = "import tifffile\n" if tiff else ""
    plugins = "" if tiff else "from napari_lowdose.imaging.readers import read_image\n"
    pixels = f"tifffile.imread({path!r})" if tiff else f"read_image({path!r}).pixels"
    return (
        f"{reader}from napari_lowdose import {name}, denoise\n{plugins}\n"
        f"image = {pixels}\n"
        f"clean = denoise(image, {name}({parameters}))\n"
    )


def _parameters(engine: Engine) -> dict[str, Any]:
    if not dataclasses.is_dataclass(engine):
        return {}
    return {f.name: getattr(engine, f.name) for f in dataclasses.fields(engine)}


def _versions(*packages: str) -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # a source tree that was never installed
            found[package] = "unknown"
    return found
