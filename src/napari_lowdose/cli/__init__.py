"""Command line interface, ``napari-lowdose``."""
