"""Make the pictures of the dock widget, on the sample image; needs a screen (xvfb-run -a)."""

from pathlib import Path

import napari
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_lowdose.widgets.reucid_widget import ReucidWidget
from napari_lowdose.widgets.sample_data import stem_low_dose

IMAGES = Path(__file__).parent / "images"
BUILD_UP = 2  # stacks that are finished in the picture of a run under way


def main() -> None:
    """Denoise the sample in the widget; take pictures while it builds up, and of the result."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 800)
    for data, options, _ in stem_low_dose():
        viewer.add_image(data, **options)
    widget = ReucidWidget(viewer)
    viewer.window.add_dock_widget(widget, name="REUCID")
    widget.form.n_stacks.setValue(1)
    denoise(viewer, widget)  # imports, and first drawing
    viewer.layers.remove(viewer.layers[-1])
    widget.form.n_stacks.setValue(5)
    denoise(viewer, widget, "widget_build_up.png")
    take(viewer, "widget.png")
    widget.grab().save(str(IMAGES / "widget_panel.png"))
    viewer.close()


def denoise(viewer: napari.Viewer, widget: ReucidWidget, build_up: str = "") -> None:
    """Press Denoise and wait; take a picture on the way."""
    QTest.qWait(1500)
    widget.panel.start_button.click()
    while widget.runner.busy:
        QTest.qWait(5)
        if build_up and widget.gallery.stack_combo.count() == BUILD_UP:
            take(viewer, build_up)
            build_up = ""
    QTest.qWait(500)


def take(viewer: napari.Viewer, name: str) -> None:
    """Save a picture of the window."""
    viewer.status = "Ready"  # napari would still say what the mouse was over
    QApplication.processEvents()
    IMAGES.mkdir(exist_ok=True)
    viewer.screenshot(str(IMAGES / name), canvas_only=False, flash=False)


if __name__ == "__main__":
    main()
