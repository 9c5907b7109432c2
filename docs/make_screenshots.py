"""Make the pictures of the dock widget, on the sample image; needs a screen (xvfb-run -a)."""

from pathlib import Path

import napari
from qtpy.QtTest import QTest

from napari_lowdose.widgets.reucid_widget import ReucidWidget
from napari_lowdose.widgets.sample_data import stem_low_dose

IMAGES = Path(__file__).parent / "images"


def main() -> None:
    """Denoise the sample in the widget, and take pictures of the window and of the widget."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 800)
    for data, options, _ in stem_low_dose():
        viewer.add_image(data, **options)
    widget = ReucidWidget(viewer)
    viewer.window.add_dock_widget(widget, name="REUCID")
    QTest.qWait(1500)
    widget.denoise()
    while widget.runner.busy:
        QTest.qWait(50)
    QTest.qWait(500)
    IMAGES.mkdir(exist_ok=True)
    viewer.screenshot(str(IMAGES / "widget.png"), canvas_only=False, flash=False)
    widget.grab().save(str(IMAGES / "widget_panel.png"))
    viewer.close()


if __name__ == "__main__":
    main()
