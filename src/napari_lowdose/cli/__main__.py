"""``python -m napari_lowdose.cli``."""

from napari_lowdose.cli.app import main

main()
