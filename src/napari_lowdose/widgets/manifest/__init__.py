"""Where napari finds the manifest: to look for it is to import `napari_lowdose.widgets`."""
