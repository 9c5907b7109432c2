"""Image files: TIFF, OME-Zarr and the formats of napari readers, in and out."""
