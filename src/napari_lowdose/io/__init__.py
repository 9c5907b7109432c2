"""Reading and writing image files: TIFF, OME-Zarr and the formats of napari readers."""
