"""Public entry points: denoise an image or a pair, at once or step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_lowdose.image_or_pair import check_engine, image_or_pair
from napari_lowdose.run import Run as Run
from napari_lowdose.script import as_python as as_python

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_lowdose.engine import Engine, Step


def denoise(image: Any, engine: Engine, *others: object) -> Any:
    """Denoise an image, a stack of frames, or a pair, to the end.

    Parameters
    ----------
    image : (..., Y, X) array, or tuple of two
        Any integer or floating dtype.  Leading axes are frames, each denoised
        by itself unless the engine asks for its neighbours along the first axis.
        A tuple is a pair: two exposures of one scene.
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
    run = Run(given, engine)
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
