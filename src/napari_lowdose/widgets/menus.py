"""Commands of Layers > Filter and of the right-click menu of layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image
from napari.viewer import Viewer  # noqa: TC002  (napari injects it by this annotation)

from napari_lowdose.widgets.titles import LIVE, ONE_IMAGE, PAIR, PLUGIN, SPLIT

if TYPE_CHECKING:
    from napari_lowdose.widgets.inspect_widget import InspectWidget
    from napari_lowdose.widgets.live_widget import LiveWidget
    from napari_lowdose.widgets.noise2noise_widget import Noise2NoiseWidget
    from napari_lowdose.widgets.result_job import ResultJob
    from napari_lowdose.widgets.reucid_widget import ReucidWidget


def denoise(viewer: Viewer) -> None:
    """Denoise the selected layers: one image with REUCID, two as a pair.

    A pair is checked first, and trained on only if no problem is found.  A single layer is
    denoised with the network in the Noise2Noise widget if the user has ticked that there and
    the network fits.
    """
    images = selected_images(viewer)
    if len(images) == 2:
        pair_widget: Noise2NoiseWidget = open_widget(viewer, PAIR)
        pair_widget.check_and_train(*images)
    elif len(images) == 1:
        pair_widget = opened_widget(viewer, PAIR)
        if pair_widget is not None and pair_widget.network.for_right_click.isChecked():
            pair_widget.apply_if_suitable(
                images[0], lambda reason: _denoise_by_reucid(viewer, images[0], reason)
            )
        else:
            _denoise_by_reucid(viewer, images[0])


def _denoise_by_reucid(viewer: Viewer, layer: Image, reason: str = "") -> None:
    reucid: ReucidWidget = open_widget(viewer, ONE_IMAGE)
    reucid.form.layer_combo.value = layer
    reucid.denoise()
    if reason:
        reucid.panel.warn(f"the network was not applied: {reason}")


def denoise_live(viewer: Viewer) -> None:
    """Denoise the selected layer while something else updates it."""
    images = selected_images(viewer)
    if len(images) == 1:
        widget: LiveWidget = open_widget(viewer, LIVE)
        widget.start_on(images[0])


def split_camera_frame(viewer: Viewer) -> None:
    """Open the widget that splits the selected camera frame into two views."""
    images = selected_images(viewer)
    widget = open_widget(viewer, SPLIT)
    if images:
        widget.choose(images[0])


def inspect_result(viewer: Viewer) -> None:
    """Open the widget that compares the selected result with its raw image, and inspect.

    Of two layers, the one with a record is the result; without a record, it is the upper one.
    """
    images = selected_images(viewer)
    widget: InspectWidget = open_widget(viewer, "Inspect")
    if len(images) == 2:
        widget.form.choose_pair(*images)
    elif images:
        widget.choose(images[0])
    widget.inspect()


def show_evidence(viewer: Viewer) -> None:
    """Outline the structure of the selected result that its input does not support.

    If the input cannot be found by its name, the user selects both.
    """
    from napari_lowdose.widgets.evidence_layers import EvidenceJob

    _start_job(viewer, EvidenceJob)


def show_standard_error(viewer: Viewer) -> None:
    """Add a layer of the noise that is left in each pixel of the selected result of REUCID."""
    from napari_lowdose.widgets.standard_error_layer import StandardErrorJob

    _start_job(viewer, StandardErrorJob)


def _start_job(viewer: Viewer, job: type[ResultJob]) -> None:
    from napari.utils.notifications import show_warning

    from napari_lowdose.widgets.result_job import input_and_result

    try:
        job(viewer, *input_and_result(viewer, selected_images(viewer))).start()
    except ValueError as error:
        show_warning(str(error))


def selected_images(viewer: Viewer) -> list[Image]:
    """Return the selected image layers, the lowest one first."""
    return [
        layer
        for layer in viewer.layers
        if layer in viewer.layers.selection and isinstance(layer, Image)
    ]


def open_widget(viewer: Viewer, name: str) -> Any:
    """Return the dock widget `name` in front; open it if necessary."""
    widget = opened_widget(viewer, name)
    if widget is None:
        _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name, tabify=True)
    else:
        widget.parent().show()
        widget.parent().raise_()
    return widget


def opened_widget(viewer: Viewer, name: str) -> Any:
    """Return the dock widget `name`; None if it is not open."""
    for title, widget in viewer.window.dock_widgets.items():
        # napari appends the name of the plugin in brackets.
        if title == name or title.startswith(f"{name} ("):
            return widget
    return None
