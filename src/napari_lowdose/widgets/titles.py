"""Titles of the dock widgets, as in the manifest; in menus and docks napari adds the plugin."""

PLUGIN = "napari-lowdose"
ONE_IMAGE = "Denoise one image (REUCID)"
PAIR = "Denoise a pair (Noise2Noise)"
SPLIT = "Split camera frame"
LIVE = "Denoise live"
