"""``python -m napari_lowdose.cli``."""

from napari_lowdose.cli import main

main()
