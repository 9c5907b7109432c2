"""The images of a batch, from layers or a folder, and the files of their results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_lowdose.batch import FileJob, beside, file_jobs
from napari_lowdose.io.ome_zarr import letters
from napari_lowdose.io.output_files import output_files
from napari_lowdose.io.readers import as_image_file, images_in
from napari_lowdose.widgets.layers import (
    SOME_UNIT,
    axis_names,
    layer_file,
    layer_pixel_size,
    validation_error,
)
from napari_lowdose.widgets.result_layer import layer_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image

    from napari_lowdose.engine import Engine
    from napari_lowdose.io.tiff import ImageFile


def folder_jobs(folder: Path, out: Path | None, engine: Engine, **options: Any) -> list[FileJob]:
    """Return a job for each image in a folder.

    Parameters
    ----------
    folder : Path
    out : Path or None
        Folder of the results; None for names of their own in the folder of the images.
    engine : Engine
    **options
        Further attributes of `FileJob`.

    Raises
    ------
    ValueError, OSError
        If there is no image, or the results cannot be written.
    """
    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder}.")
    found = images_in(folder)
    results = {beside(path) for path in found}
    sources = [path for path in found if path not in results]
    if not sources:
        raise ValueError(f"There are no images in {folder}.")
    if out is None:
        targets = [(path, beside(path)) for path in sources]
    else:
        out.mkdir(parents=True, exist_ok=True)
        targets = output_files(sources, out)
    return file_jobs([((source,), target) for source, target in targets], engine, **options)


def layer_jobs(
    layers: Sequence[Image], out: Path | None, engine: Engine, **options: Any
) -> list[FileJob]:
    """Return a job for each layer; one that shows a complete file is read from there.

    Parameters
    ----------
    layers : sequence of Image
    out : Path or None
        Folder of the results; None for the folder of the layer's file.
    engine : Engine
    **options
        Further attributes of `FileJob`.

    Raises
    ------
    ValueError, OSError
        If a layer cannot be denoised, has no file to put its result beside, or the results cannot
        be written.
    """
    if not layers:
        raise ValueError("Select image layers in the layer list first.")
    jobs: list[FileJob] = []
    taken: set[Path] = set()
    for layer in layers:
        if reason := validation_error(layer):
            raise ValueError(reason)
        found = layer_file(layer)
        name = "".join(c if c.isalnum() or c in " -_.[]" else "_" for c in layer.name).strip()
        source = Path(found) if found else Path(f"{name or 'image'}.tif")
        if out is None and not found:
            raise ValueError(
                f"'{layer.name}' has no file of its own: put the results into a folder."
            )
        target = beside(source) if out is None else out / beside(source).name
        if target in taken:
            raise ValueError(f"Two layers would be stored as {target.name}: rename one of them.")
        taken.add(target)
        images = [] if found else [image_of_layer(layer, source)]
        jobs += file_jobs([((source,), target)], engine, images=images, **options)
    return jobs


def image_of_layer(layer: Image, source: Path) -> ImageFile:
    """Return the pixels of a layer as if they were read from a file.

    Parameters
    ----------
    layer : Image
    source : Path
        Name of the image.
    """
    size, unit = layer_pixel_size(layer)
    known = size is not None and unit is not None and unit != SOME_UNIT
    image = as_image_file(source, layer_pixels(layer), (size, unit) if known else None)  # type: ignore[arg-type]
    named = letters(axis_names(layer))
    if named and len(named) == len(image.axes) and named.upper().endswith("YX"):
        axes = named.upper()
        metadata = {**image.options["metadata"], "axes": axes}
        return replace(image, axes=axes, options={**image.options, "metadata": metadata})
    return image
