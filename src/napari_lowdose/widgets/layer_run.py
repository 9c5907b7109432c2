# mypy: allow-untyped-calls
"""Run an engine on a snapshot of a layer, and show its progress in a result layer."""

from __future__ import annotations

import threading
import uuid
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_lowdose.denoise import Run, denoise
from napari_lowdose.frames import ImageOrPair
from napari_lowdose.io.ome_zarr import default_axes, letters
from napari_lowdose.streaming import Stream
from napari_lowdose.widgets.layers import layer_file
from napari_lowdose.widgets.region import region_slices
from napari_lowdose.widgets.result_layer import (
    METADATA_KEY,
    PARTIAL,
    RESIDUAL_KEY,
    contrast_limits,
    layer_pixels,
    mark_as_result,
    placement,
    residual,
    residual_limits,
    without_partial,
)
from napari_lowdose.widgets.settings_in_words import what_differs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import LayerList
    from numpy.typing import NDArray

    from napari_lowdose.engine import Engine, Step
    from napari_lowdose.widgets.region import Region


class LayerRun:
    """A run whose result appears as a layer with the first interim image, and is refined.

    Every run adds its own layer, so no earlier result is lost.  The layer is marked as partial
    until the run is finished.  The run works on a `snapshot` of the input, which may be changed
    or removed meanwhile: a copy of small images, and of large or lazy stacks each frame when it
    is read.

    Parameters
    ----------
    layers : LayerList
        Layer list for the results.
    source : Image, or tuple of two
        The input layer, or the two layers of a pair.
    engine : Engine
    frame : tuple of int, optional
        Index of the frame to denoise; all frames by default.  The result is shown only at its
        place in the stack.
    with_residual : bool
        Whether to add a layer of the (first) input minus the result at the end.
    name : str, optional
        Name of the result; by default that of the input and of the engine.
    pixels : tuple of (..., Y, X) arrays, optional
        The input, one array for each layer; by default a snapshot of the layers.
    region : (int, int, int, int), optional
        Rows and columns to denoise; by default all.

    Attributes
    ----------
    run : Run
    sources : tuple of Image
        The input layers.
    result : Image or None
        None before the first interim image.
    status : str
        Outcome of the run, for the history.
    """

    def __init__(
        self,
        layers: LayerList,
        source: Image | tuple[Image, Image],
        engine: Engine,
        frame: tuple[int, ...] = (),
        with_residual: bool = False,
        name: str | None = None,
        pixels: tuple[Any, ...] | None = None,
        region: Region | None = None,
    ) -> None:
        sources = source if isinstance(source, tuple) else (source,)
        given = pixels or tuple(layer_pixels(each) for each in sources)
        # Cut before the snapshot: only the part to denoise is copied.  Whole pixels stay the same
        # object, by which a training knows that it denoises what it was trained on.
        parts = tuple(each[frame] if frame else each for each in given)
        if region is not None:
            parts = tuple(each[region_slices(region)] for each in parts)
        images = parts if pixels else tuple(snapshot(part) for part in parts)
        self.run = self._new_run(images if isinstance(source, tuple) else images[0], engine)
        self.sources, self.frame, self.region = sources, frame, region
        self.paths = tuple(layer_file(each) for each in sources)
        self.result: Image | None = None
        self.residual: Image | None = None
        self.status = ""
        self._layers = layers
        self._source_names = [each.name for each in sources]
        self._with_residual = with_residual
        self._limits = (0.0, 1.0)
        # The residual is computed when it is shown, for lazy input from the data themselves.
        self._input = images[0] if isinstance(images[0], np.ndarray) else parts[0]
        y0, x0 = (0, 0) if region is None else (region[0], region[2])
        corner = (*map(float, frame), float(y0), float(x0))
        self._placement = placement(sources[0], sources[0].ndim, corner)
        where = f" {list(frame)}" if frame else ""
        self._name = name or f"{sources[0].name}{where} {type(engine).__name__.upper()}"

    @property
    def title(self) -> str:
        """What is done, for napari's activity dock."""
        return self._name

    @property
    def path(self) -> str | None:
        """The file of the input layer, if it shows a complete file."""
        return self.paths[0]

    @property
    def result_removed(self) -> bool:
        """Whether the user has removed the result layer."""
        return self.result is not None and self.result not in self._layers

    def show(self, steps: Sequence[Step]) -> None:
        """Show the newest interim image among `steps`, if there is one."""
        newest = next((s.image for s in reversed(steps) if s.image is not None), None)
        if newest is None or self.result_removed:
            return
        if self.result is None:
            data = newest if self._one_frame else self.run.image
            # From the first image only: napari keeps the limits, so previews do not flicker.
            self._limits = contrast_limits(newest)
            self.result = self._add(data, self._distinct_name() + PARTIAL, self._limits)
            self.result.contrast_limits_range = (float(newest.min()), float(newest.max()))
        elif self._one_frame:
            # A new array, because changes in place race with napari's slicing.
            self.result.data = self._as_stack(newest)
        else:  # the run writes its frames into the array that the layer already has
            self.result.refresh()
        self.describe()

    def end(self) -> None:
        """Mark the result as finished if the run is; add the residual."""
        if self.result is None or self.result_removed:
            return
        if self.run.finished:
            self.result.name = without_partial(self.result.name)
        self.describe()
        if self._with_residual:
            removed = residual(self._input, self.run.image)
            limits = residual_limits(self._input, self.run.image, self._limits)
            partial = "" if self.run.finished else PARTIAL
            of = without_partial(self.result.name)
            options = {"metadata": {RESIDUAL_KEY: of}, "colormap": "gray", "visible": False}
            self.residual = self._add(removed, f"{of} residual{partial}", limits, **options)
            # napari selects a new layer, and the widget follows the selection.
            self._layers.selection.active = self.result

    def remove(self) -> None:
        """Remove the layers of this run."""
        for layer in (self.result, self.residual):
            if layer is not None and layer in self._layers:
                self._layers.remove(layer)

    def replace(self, image: NDArray[np.float32], index: tuple[int, ...]) -> None:
        """Replace the result, or its frame `index`, by `image`."""
        self.run.image[index] = image
        if self.result is None or self.result_removed:
            return
        self.result.data = self._as_stack(image) if self._one_frame else self.run.image
        if self.residual is not None and self.residual in self._layers:
            self.residual.data = self._as_stack(residual(self._input, self.run.image))

    def describe(self, **changes: Any) -> None:
        """Write the record of the run, updated with `changes`, into the metadata of the result."""
        if self.result is None:
            return
        record = self.run.record()
        one = len(self.paths) == 1
        record["input"] |= {
            "layer": self._source_names[0] if one else self._source_names,
            "path": self.path if one else list(self.paths),
        }
        if self.frame:
            record["input"]["frame"] = list(self.frame)
        if self.region is not None:
            record["input"]["region"] = list(self.region)
        self.result.metadata[METADATA_KEY] = record | changes

    def _new_run(self, given: Any, engine: Engine) -> Run:
        return Run(given, engine)

    @property
    def _settings(self) -> dict[str, Any]:
        """The parameters in the record of the result."""
        return dict(self.run.record().get("parameters", {}))

    def _distinct_name(self) -> str:
        """Return the name of the result, with what differs from the result of that name."""
        for layer in self._layers:
            record = layer.metadata.get(METADATA_KEY, {})
            if layer.name == self._name and isinstance(
                parameters := record.get("parameters"), dict
            ):
                differs = what_differs(parameters, self._settings)
                return f"{self._name}, {differs}" if differs else self._name
        return self._name

    @property
    def _one_frame(self) -> bool:
        return bool(self._input.ndim == 2)

    def _as_stack(self, data: Any) -> Any:
        """Return a frame as a stack of one frame, which napari shows only at its place."""
        return data[(np.newaxis,) * len(self.frame)]

    def _add(self, data: Any, name: str, limits: tuple[float, float], **options: Any) -> Image:
        arguments = {"contrast_limits": limits, **self._placement, **options}
        layer = Image(self._as_stack(data), name=name, multiscale=False, **arguments)
        mark_as_result(layer)
        self._layers.append(layer)
        return layer


class LazyRun(LayerRun):
    """A `LayerRun` that computes each frame when it is shown, and is finished at once.

    Parameters
    ----------
    layers : LayerList
    source : Image, or tuple of two
        The movie, or the two movies of a pair.
    engine : Engine
        A trained network, which is fast enough.
    name : str
    """

    def __init__(
        self, layers: LayerList, source: Image | tuple[Image, Image], engine: Engine, name: str
    ) -> None:
        sources = source if isinstance(source, tuple) else (source,)
        movies = tuple(_lazy(layer) for layer in sources)
        super().__init__(layers, source, engine, name=name, pixels=movies)
        import dask.array as da

        clean = denoise(ImageOrPair(movies).given, engine)
        seen = da.map_blocks(
            self._find_limits, clean, dtype=np.float32, meta=np.empty((0,) * clean.ndim, np.float32)
        )
        self._found: tuple[tuple[float, float], tuple[float, float]] | None = None
        self.run.finished = True
        # Limits of the first frame shown replace these: noise spans a wider range than the
        # result, which would look flat.
        self.result = self._add(seen, name, sources[0].contrast_limits)
        # Computed in the slicing thread, but layers may be changed in the GUI thread only.
        self.result.events.set_data.connect(self._set_contrast)
        self._set_contrast()
        self.describe()

    def _find_limits(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Find the contrast limits of the first frame that is computed, in any thread."""
        if self._found is None and block.size:
            frame = block[(0,) * (block.ndim - 2)]
            self._found = contrast_limits(frame), (float(frame.min()), float(frame.max()))
        return block

    def _set_contrast(self, event: Any = None) -> None:
        if self._found is not None and self.result is not None:
            self.result.events.set_data.disconnect(self._set_contrast)
            limits, whole = self._found
            # The range first: limits outside of it would be clipped.
            self.result.contrast_limits_range = (min(whole[0], limits[0]), max(whole[1], limits[1]))
            self.result.contrast_limits = limits


def _lazy(layer: Image) -> Any:
    pixels = layer_pixels(layer)
    if not isinstance(pixels, np.ndarray):  # dask, as of `layer_pixels`
        return pixels
    import dask.array as da

    frames = (*(1,) * (pixels.ndim - 2), *pixels.shape[-2:])
    return da.from_array(pixels, chunks=frames, name=False)


class ZarrRun(LayerRun):
    """A `LayerRun` that writes its result to disk, with one frame at a time in memory.

    If it is interrupted, the same run resumes after the finished frames.

    Parameters
    ----------
    layers : LayerList
    source : Image, or tuple of two
        The movie, or the two movies of a pair.
    engine : Engine
    path : str
        A folder ``.zarr``: a new one, or that of the interrupted run.
    name : str
        Name of the result layer.
    """

    def __init__(
        self,
        layers: LayerList,
        source: Image | tuple[Image, Image],
        engine: Engine,
        path: str,
        name: str,
    ) -> None:
        sources = source if isinstance(source, tuple) else (source,)
        self._path = path
        self._attributes = {
            "scale": [float(each) for each in sources[0].scale],
            "units": [str(each) for each in sources[0].units],
            # napari numbers axes without names
            "axes": letters(sources[0].axis_labels) or default_axes(sources[0].ndim) or None,
        }
        movies = tuple(layer_pixels(each) for each in sources)
        super().__init__(layers, source, engine, name=name, pixels=movies)

    def _new_run(self, given: Any, engine: Engine) -> Run:
        return Stream(given, engine, self._path, attributes=self._attributes)

    def show(self, steps: Sequence[Step]) -> None:
        """Show the movie on disk once it has a frame."""
        newest = next((s.image for s in reversed(steps) if s.image is not None), None)
        if self.result_removed or (newest is None and not self.run.finished):
            return
        if self.result is None:
            movie = self.run.image
            if newest is None:  # all frames were finished by an earlier run
                newest = np.asarray(movie[(0,) * (movie.ndim - 2)])
            self.result = self._add(movie, self._name + PARTIAL, contrast_limits(newest))
        else:
            self.result.refresh()
        self.describe()

    def end(self) -> None:
        """Mark the result as finished if the run is."""
        self.show(())
        if self.run.finished and self.result is not None and not self.result_removed:
            self.result.data = self.run.image  # a replaced folder has moved to its final place
        super().end()


MAX_COPY_BYTES = 2**26  # bytes to copy at once: more would block the user interface
MAX_FRAMES_BYTES = 2**28  # bytes of larger or lazy data to keep once they are read


def snapshot(pixels: Any) -> Any:
    """Return a snapshot of `pixels`.

    Parameters
    ----------
    pixels : (..., Y, X) array
        NumPy or dask.

    Returns
    -------
    (..., Y, X) array
        A copy of small arrays in memory.  For other arrays, a dask array that copies each frame
        when it is first read, and returns that copy afterwards.  If there are too many frames
        to keep, it refuses to read a frame that has changed.
    """
    lazy = not isinstance(pixels, np.ndarray) or isinstance(pixels, np.memmap)
    if not lazy and pixels.nbytes <= MAX_COPY_BYTES:
        return np.array(pixels, subok=True)  # keeps a mask, which the engine refuses
    import dask.array as da

    leading = tuple(pixels.shape[:-2])
    return da.map_blocks(
        _FramesAsRead(pixels).read,
        chunks=(*((1,) * n for n in leading), *((n,) for n in pixels.shape[-2:])),
        dtype=pixels.dtype,
        meta=getattr(pixels, "_meta", np.empty((0,) * pixels.ndim, pixels.dtype)),
        # A unique name: dask would reuse a cached block of an earlier snapshot, or hash all pixels.
        name=f"snapshot-{uuid.uuid4().hex}",
    )


class _FramesAsRead:
    def __init__(self, movie: Any) -> None:
        self._movie = movie
        self._frames: dict[tuple[int, ...], NDArray[Any]] = {}
        self._checksums: dict[tuple[int, ...], int] = {}
        self._kept = 0
        self._lock = threading.Lock()

    def read(self, block_id: tuple[int, ...]) -> NDArray[Any]:
        """Return one frame, as a block of the movie."""
        index = tuple(block_id[:-2])
        with self._lock:  # dask computes several blocks at the same time
            frame = self._frames[index] if index in self._frames else self._read(index)
        return frame[(np.newaxis,) * len(index)]

    def _read(self, index: tuple[int, ...]) -> NDArray[Any]:
        read = self._movie[index]
        if hasattr(read, "compute"):  # dask
            read = read.compute()
        frame: NDArray[Any] = np.array(read, order="C", subok=True)
        checksum = zlib.crc32(np.asarray(frame).data)
        if self._checksums.setdefault(index, checksum) != checksum:
            raise ValueError(
                "the input has changed since it was denoised: denoise it again before you change "
                "its eigenpatches."
            )
        if self._kept + frame.nbytes <= MAX_FRAMES_BYTES:
            self._kept += frame.nbytes
            self._frames[index] = frame
        return frame
