"""The dock widgets: the only code that imports napari, Qt and magicgui."""
