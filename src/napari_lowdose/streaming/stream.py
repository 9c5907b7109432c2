"""Denoise movies larger than memory into zarr, one frame at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_lowdose.image_or_pair import image_or_pair
from napari_lowdose.io.input_files import files_overlap
from napari_lowdose.run import Run
from napari_lowdose.streaming.cluster import frames_on_cluster, open_client
from napari_lowdose.streaming.description import checked_attributes
from napari_lowdose.streaming.lock import output_lock
from napari_lowdose.streaming.sink import ZarrSink

if TYPE_CHECKING:
    import os
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from napari_lowdose.engine import Engine, Step
    from napari_lowdose.run import Source


class Stream(Run):
    """A `Run` that writes each frame into an OME-Zarr group; iterate to advance.

    Only the frames that are being denoised are in memory.  Finished frames are kept if the run is
    interrupted or killed, and the same call continues after them.  If a client of a
    dask.distributed cluster is open, the frames are denoised on the cluster.

    Parameters
    ----------
    image : (..., Y, X) array, or tuple of two
        NumPy, dask or zarr array.  A tuple is a pair of exposures.
    engine : Engine
        `Noise2Noise` is trained first, and its network is saved in the folder.
    path : path
        Output folder, ``.zarr``.  The image is the array "0" of the group, with one chunk per
        frame.  Unfinished frames are NaN.
    resume : bool
        Continue an earlier run if it had the same engine and input.  Every existing frame is
        verified: neither its input nor its result may have changed.
    overwrite : bool
        Replace an existing zarr array or result of this package, but never another folder.
        The existing result is kept until the new one is complete.
    attributes : mapping, optional
        Further JSON-ready attributes, for example ``scale``, ``units`` and ``axes``.

    Attributes
    ----------
    path : Path
    model : Noise2NoiseModel or None
        The applied network, or the best network of the training so far.
    finished : bool
        True once every frame is written.
    """

    sink: ZarrSink

    def __init__(
        self,
        image: Any,
        engine: Engine,
        path: str | os.PathLike[str],
        *,
        resume: bool = True,
        overwrite: bool = False,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        given = image_or_pair(image, engine)
        self.path = Path(path)
        sink = ZarrSink(
            given,
            engine,
            self.path,
            resume=resume,
            overwrite=overwrite,
            attributes=checked_attributes(attributes or {}, len(given.shape)),
        )
        super().__init__(given, engine, sink)

    def __iter__(self) -> Generator[Step, None, None]:
        """Yield steps.  The step of a frame has its `image` only after it is written."""
        if any(files_overlap(exposure, self.path) for exposure in self._given.exposures):
            raise ValueError("The result would replace the input; choose another output.")
        with output_lock(self.sink.output.path):
            yield from super().__iter__()

    def record(self) -> dict[str, Any]:
        """Return JSON-ready values: engine, parameters, versions, and training if any."""
        record = super().record()
        del record["steps"]  # a long movie has many
        if self.sink.input_hash is not None:
            record["input"]["blake2b"] = self.sink.input_hash
        return record

    def _frames(
        self, prepared: Engine, numbers: Sequence[int]
    ) -> Iterator[tuple[int, Step, Source | None]]:
        client = open_client()
        if client is not None:
            return frames_on_cluster(client, prepared, self._given, numbers)
        return super()._frames(prepared, numbers)


def denoise_to_zarr(
    image: Any,
    engine: Engine,
    path: str | os.PathLike[str],
    *,
    resume: bool = True,
    overwrite: bool = False,
    scale: Sequence[float] | None = None,
    units: Sequence[str] | None = None,
    axes: str | None = None,
) -> Any:
    """Denoise a movie of any length into an OME-Zarr group, frame by frame.

    Parameters
    ----------
    image : (..., Y, X) array, or tuple of two
        NumPy, dask or zarr array.  A tuple is a pair of exposures.
    engine : Engine
        Denoising method with its parameters, for example ``Reucid()``.
    path : path
        Output folder, ``.zarr``.  The image is the array "0" of the group.
    resume : bool
        Continue an earlier run if it had the same engine and input.
    overwrite : bool
        Replace an existing zarr array or result of this package.  It is kept until the new
        result is complete.
    scale, units : sequence, optional
        Pixel size and unit of each axis, written to the metadata.
    axes : str, optional
        One letter per axis, for example "TYX".

    Returns
    -------
    zarr.Array
        (..., Y, X) float32, in the units of `image`.

    Raises
    ------
    ValueError
        If the path has a different result, a frame cannot be read or denoised, or the result
        would replace the input.
    OSError
        If the folder cannot be written, the disk is full, or another run is writing there.
    FileExistsError
        If the path has any other content.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from napari_lowdose import Reucid, denoise_to_zarr
    >>> fringes = 9 + 6 * np.cos(np.arange(48) / 2)
    >>> movie = np.random.default_rng(0).poisson(fringes, (3, 48, 48))
    >>> clean = denoise_to_zarr(movie, Reucid(patch_size=7), tempfile.mkdtemp(suffix=".zarr"))
    >>> clean.shape, clean.chunks
    ((3, 48, 48), (1, 48, 48))
    """
    attributes = {"scale": scale, "units": units, "axes": axes}
    stream = Stream(image, engine, path, resume=resume, overwrite=overwrite, attributes=attributes)
    for _ in stream:
        pass
    return stream.image
