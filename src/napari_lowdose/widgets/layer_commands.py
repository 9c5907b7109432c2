"""What Layers > Filter and the right-click on layers do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image
from napari.viewer import Viewer  # noqa: TC002  (napari injects it by this annotation)

if TYPE_CHECKING:
    from napari_lowdose.widgets.noise2noise_widget import Noise2NoiseWidget
    from napari_lowdose.widgets.reucid_widget import ReucidWidget

PLUGIN = "napari-lowdose"


def denoise(viewer: Viewer) -> None:
    """Denoise what is selected: one image layer by REUCID, two as a pair.

    Where the Noise2Noise widget is open with a network that was loaded or saved, one layer is
    denoised with that.
    """
    images = selected_images(viewer)
    if len(images) == 2:
        pair_widget: Noise2NoiseWidget = open_widget(viewer, "Noise2Noise pair")
        pair_widget.choose_pair(*images)
        pair_widget.train()
    elif len(images) == 1:
        pair_widget = opened_widget(viewer, "Noise2Noise pair")
        network = pair_widget.network.network if pair_widget is not None else None
        if network is not None and network.path is not None:
            pair_widget.apply_to(images[0])
            return
        reucid: ReucidWidget = open_widget(viewer, "REUCID")
        reucid.form.layer_combo.value = images[0]
        reucid.denoise()


def split_camera_frame(viewer: Viewer) -> None:
    """Open the widget that splits the selected camera frame into its two views."""
    images = selected_images(viewer)
    widget = open_widget(viewer, "Split camera frame")
    if images:
        widget.choose(images[0])


def selected_images(viewer: Viewer) -> list[Image]:
    """Return the selected image layers, the lowest in the layer list first."""
    return [
        layer
        for layer in viewer.layers
        if layer in viewer.layers.selection and isinstance(layer, Image)
    ]


def open_widget(viewer: Viewer, name: str) -> Any:
    """Return our dock widget `name`; it is opened if it is not open."""
    found = opened_widget(viewer, name)
    if found is not None:
        return found
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name, tabify=True)
    return widget


def opened_widget(viewer: Viewer, name: str) -> Any:
    """Return our dock widget `name` and bring it to the front; None if it is not open."""
    for title, widget in viewer.window.dock_widgets.items():
        if title.startswith(name):
            widget.parent().show()
            widget.parent().raise_()
            return widget
    return None
