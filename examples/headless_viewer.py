"""Denoise the layers of a napari viewer model without a window, as the widgets do with one.

Usage: python examples/headless_viewer.py [EPOCHS]

`napari.components.ViewerModel` holds layers and needs neither Qt nor a screen.  If there is a
screen, `napari.Viewer(show=False)` works the same way and can also take screenshots.
"""

import sys

from napari.components import ViewerModel

from napari_lowdose import Noise2Noise, Reucid, Run
from napari_lowdose.samples import stem_pair

viewer = ViewerModel()
epochs = float(sys.argv[1]) if len(sys.argv) > 1 else 20
first, second, _ = stem_pair()
for name, image in {"first": first, "second": second}.items():
    viewer.add_image(image, name=name, scale=(0.12, 0.12), units=("angstrom", "angstrom"))

layer, partner = viewer.layers["first"], viewer.layers["second"]
runs = {
    "first REUCID": Run(layer.data, Reucid()),
    "first NOISE2NOISE": Run((layer.data, partner.data), Noise2Noise(epochs=epochs)),
}
for name, run in runs.items():
    for _ in run:  # each step is a progress report; the result is run.image
        pass
    metadata = {"napari-lowdose": run.record()}
    viewer.add_image(run.image, name=name, scale=layer.scale, units=layer.units, metadata=metadata)

print([layer.name for layer in viewer.layers])
