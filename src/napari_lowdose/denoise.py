"""The one door for scripts, command line and widgets: run an engine on an image."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

from napari_lowdose.image_or_pair import check_engine, image_or_pair
from napari_lowdose.noise2noise import Noise2NoiseModel, TrainingStep
from napari_lowdose.script import as_python as as_python
from napari_lowdose.versions import versions

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from napari_lowdose.engine import Engine, Step


class Run:
    """One engine at work on one image, or pair: iterate to advance, read `image` at any time.

    Parameters
    ----------
    image : (..., Y, X) array, or tuple of two
        NumPy, dask or zarr; denoised frame by frame over the last two axes.  A tuple is a pair:
        two exposures of one scene.
    engine : Engine
        The method with its parameters, for example ``Reucid()``.

    Attributes
    ----------
    input : array, or tuple of two
    image : (..., Y, X) float32 array
        The result so far.  Frames not reached yet show the (first) input, or NaN where the
        input is lazy (dask, zarr) and has not been read.
    model : Noise2NoiseModel or None
        The network that is applied, or the best that training has reached so far.
    finished : bool
        False until the engine has come to its end.

    Raises
    ------
    ValueError
        If the engine takes a pair and this is none, or the reverse.
    """

    def __init__(self, image: Any, engine: Engine) -> None:
        self._given = image_or_pair(image, engine)
        self.input = self._given.given
        self.engine = engine
        self.finished = False
        self.model: Noise2NoiseModel | None = None
        self._image: NDArray[np.float32] | None = None
        self._records: list[dict[str, Any]] = []

    @property
    def image(self) -> NDArray[np.float32]:
        """The result so far, in the input's shape and units."""
        if self._image is None:
            self._image = self._given.first_guess()
        return self._image

    def __iter__(self) -> Iterator[Step]:
        """Yield the engine's steps; `seconds_left` is filled in from the pace so far."""
        self.finished = False
        self.model = self.engine if isinstance(self.engine, Noise2NoiseModel) else None
        self._records.clear()
        start = time.perf_counter()
        for step in self.engine.steps(self.input):
            if step.image is not None:
                self.image[step.index] = step.image
            if isinstance(step, TrainingStep):  # of all of them, the network tells the last
                self.model = step.model
            elif record := step.record():
                self._records.append({"index": list(step.index), **record})
            if step.seconds_left is None and step.fraction > 0:
                elapsed = time.perf_counter() - start
                left = elapsed * (1 / step.fraction - 1)
                step = dataclasses.replace(step, seconds_left=left)
            yield step
        self.finished = True

    def record(self) -> dict[str, Any]:
        """Return what was done, as JSON-ready values: engine, parameters, versions, steps.

        Of a network also how it was trained, and what gain was expected.
        """
        return {
            **engine_record(self.engine),
            "finished": self.finished,
            "input": self._given.about(),
            "steps": list(self._records),
            **({"training": dict(self.model.record)} if self.model is not None else {}),
        }


def denoise(image: Any, engine: Engine, *others: object) -> Any:
    """Denoise an image, a stack of frames, or a pair, to the end.

    Parameters
    ----------
    image : (..., Y, X) array, or tuple of two
        Any integer or floating dtype.  Leading axes are frames, each denoised
        by itself.  A tuple is a pair: two exposures of one scene.
    engine : Engine
        The method with its parameters, for example ``Reucid()``, ``Noise2Noise()`` for a
        pair, or a trained network.
    *others : object
        Not accepted; two arrays before the engine get an error that says how to give a pair.

    Returns
    -------
    (..., Y, X) float32 array
        In the units of `image`.  Of a dask array a lazy dask array: a frame is denoised when
        it is asked for.  (A network is trained at once.)

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

    A movie that is not in memory:

    >>> import dask.array as da
    >>> movie = da.from_array(np.stack([noisy, noisy]), chunks=(1, 64, 64))
    >>> denoise(movie, Reucid(patch_size=9))
    dask.array<denoise, shape=(2, 64, 64), dtype=float32, chunksize=(1, 64, 64), chunktype=...>
    """
    check_engine(engine, *others)
    given = image_or_pair(image, engine)
    if given.is_dask:
        from napari_lowdose.lazy import denoise_lazily

        return denoise_lazily(given, engine)
    run = Run(image, engine)
    for _ in run:
        pass
    return run.image


def denoise_steps(image: Any, engine: Engine, *others: object) -> Iterator[Step]:
    """Denoise step by step: stop iterating to cancel, and keep the last image.

    Parameters
    ----------
    image : (..., Y, X) array, or tuple of two
        A tuple is a pair: two exposures of one scene.
    engine : Engine
    *others : object
        Not accepted, as in `denoise`.

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
    check_engine(engine, *others)
    yield from Run(image, engine)


def engine_record(engine: Engine) -> dict[str, Any]:
    """Return which engine it is, its parameters and the versions, as JSON-ready values."""
    fields: tuple[dataclasses.Field[Any], ...] = ()
    if dataclasses.is_dataclass(engine):
        fields = dataclasses.fields(engine)
    parameters = {f.name: getattr(engine, f.name) for f in fields}
    return {
        "engine": type(engine).__name__,
        "parameters": {name: value for name, value in parameters.items() if _is_plain(value)},
        "versions": versions("napari-lowdose", "numpy", "scipy", "scikit-image", "torch"),
    }


def _is_plain(value: Any) -> bool:
    """Whether JSON knows `value`: the weights of a network it does not."""
    if isinstance(value, (list, tuple)):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, (str, int, float))
