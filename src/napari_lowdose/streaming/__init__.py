"""Denoise movies larger than memory into a zarr array, locally or on a cluster."""

from napari_lowdose.streaming.output_folder import unfinished_folder as unfinished_folder
from napari_lowdose.streaming.stream import Stream as Stream
from napari_lowdose.streaming.stream import denoise_to_zarr as denoise_to_zarr
