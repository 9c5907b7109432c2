"""Location of the manifest: finding it imports `napari_lowdose.widgets`."""
