"""Make the pictures of the dock widgets, on the sample data; needs a screen (xvfb-run -a)."""

import sys
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import QRect, Qt, QTimer
from qtpy.QtGui import QPainter, QPixmap
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_lowdose import samples
from napari_lowdose.widgets.live.form import SAMPLE
from napari_lowdose.widgets.menus import open_widget
from napari_lowdose.widgets.reucid_widget import ReucidWidget
from napari_lowdose.widgets.samples import beamsplitter_frame, nuclei_pair, stem_low_dose
from napari_lowdose.widgets.titles import LIVE, ONE_IMAGE, PAIR, SPLIT

IMAGES = Path(__file__).parent / "images"
BUILD_UP = 2  # stacks that are finished in the picture of a run under way


SECONDS = 30  # of training
CHOICE_HEIGHT = 400  # pixels of the widget that show its choice


def main(*only: str) -> None:
    """Make all pictures, or those of reucid, compare, teach, pair, choice, split, live, inspect."""
    for make in (reucid, compare, teach, pair, choice, split, live, inspect):
        name = make.__name__
        if not only or name in only:
            make(viewer := napari.Viewer(show=True))
            viewer.close()


def reucid(viewer: napari.Viewer) -> None:
    """Denoise the sample in the widget; take pictures while it builds up, and of the result."""
    viewer.window.resize(1280, 800)
    for data, options, _ in stem_low_dose():
        viewer.add_image(data, **options)
    widget = ReucidWidget(viewer)
    viewer.window.add_dock_widget(widget, name=ONE_IMAGE)
    widget.form.n_stacks.setValue(1)
    denoise(viewer, widget)  # imports, and first drawing
    viewer.layers.remove(viewer.layers[-1])
    widget.form.n_stacks.setValue(5)
    denoise(viewer, widget, "widget_build_up.png")
    take(viewer, "widget.png")
    widget.grab().save(str(IMAGES / "widget_panel.png"))


def compare(viewer: napari.Viewer) -> None:
    """Compare two strengths on the sample."""
    viewer.window.resize(1280, 860)
    for data, options, _ in stem_low_dose():
        viewer.add_image(data, **options)
    widget = open_widget(viewer, ONE_IMAGE)
    QTest.qWait(1500)
    strengths = widget.settings.others()[0]
    widget.comparison.compare("balanced", strengths["balanced"])
    while widget.comparison.runner.busy:
        QTest.qWait(20)
    QTest.qWait(500)
    take(viewer, "compare_settings.png")


def teach(viewer: napari.Viewer) -> None:
    """Ask about the sample, and pick twice."""
    viewer.window.resize(1280, 860)
    for data, options, _ in stem_low_dose():
        viewer.add_image(data, **options)
    widget = open_widget(viewer, "Teach REUCID")
    QTest.qWait(1000)
    viewer.camera.zoom *= 1.6
    QTest.qWait(500)
    widget.ask()
    for _ in range(3):
        while widget.runner.busy:
            QTest.qWait(20)
        QTest.qWait(300)
        if len(widget.survey.picks) < 2:
            widget.pick(0)
    take(viewer, "teach_widget.png")


def pair(viewer: napari.Viewer) -> None:
    """Right-click on a pair, train on it; take pictures of the menu, on the way, and at the end."""
    viewer.window.resize(1280, 860)
    for data, options, _ in nuclei_pair():
        viewer.add_image(data, **options)
    QTest.qWait(1000)
    viewer.layers.selection = set(viewer.layers[1:])
    right_click(viewer, "right_click.png")
    widget = open_widget(viewer, PAIR)
    QTest.qWait(1000)
    while widget.runner.busy:
        QTest.qWait(20)
    widget.form.stop.choose("time", SECONDS)
    widget.train()
    while widget.panel.progress.value() < widget.panel.progress.maximum() / 2:
        QTest.qWait(20)
    take(viewer, "noise2noise_training.png")
    while widget.runner.busy:
        QTest.qWait(20)
    QTest.qWait(500)
    take(viewer, "noise2noise_done.png")


def choice(viewer: napari.Viewer) -> None:
    """Take a picture of the pair widget with each answer to 'What do you have?'."""
    viewer.window.resize(1280, 1000)
    widget = open_widget(viewer, PAIR)
    movie, _ = samples.beamsplitter_movie()
    pictures = []
    for name, images in (
        ("pair", samples.nuclei_pair()[:2]),
        ("movie", [movie]),
        ("counted", [np.random.default_rng(0).poisson(samples.stem_pair()[2])]),
        ("split", [movie]),
    ):
        viewer.layers.clear()
        for image, label in zip(images, ("first", "second"), strict=False):
            viewer.add_image(image, name=label if name == "pair" else name)
        if widget.choice.value != name:
            widget.choice.buttons[name].click()
        QTest.qWait(1000)
        while widget.runner.busy:
            QTest.qWait(20)
        QTest.qWait(200)
        pictures.append(widget.grab(QRect(0, 0, widget.width(), CHOICE_HEIGHT)))
    board = QPixmap(sum(each.width() for each in pictures), CHOICE_HEIGHT)
    painter = QPainter(board)
    for n, each in enumerate(pictures):
        painter.drawPixmap(n * each.width(), 0, each)
    painter.end()
    IMAGES.mkdir(exist_ok=True)
    board.save(str(IMAGES / "noise2noise_choice.png"))


def split(viewer: napari.Viewer) -> None:
    """Look at the beamsplitter frame."""
    viewer.window.resize(1280, 800)
    for data, options, _ in beamsplitter_frame():
        viewer.add_image(data, **options)
    widget = open_widget(viewer, SPLIT)
    while widget.found is None:
        QTest.qWait(20)
    QTest.qWait(1000)
    take(viewer, "split_widget.png")


def live(viewer: napari.Viewer) -> None:
    """Watch the sample camera; take pictures of the running view, and once a network is better."""
    viewer.window.resize(1280, 800)
    widget = open_widget(viewer, LIVE)
    widget.form.choose(SAMPLE)
    widget.start()
    while widget.view.clean.layer is None:
        QTest.qWait(20)
    viewer.canvas.grid.enabled = True
    viewer.fit_to_view()
    QTest.qWait(4000)  # rates are averaged over two seconds
    take(viewer, "live.png")
    widget.train()
    while widget.view.run.training.winner is None:
        QTest.qWait(20)
    QTest.qWait(2000)
    take(viewer, "live_trained.png")
    widget.stop()
    while widget.running:
        QTest.qWait(20)


def inspect(viewer: napari.Viewer) -> None:
    """Denoise the sample, and inspect the result: curtain, verdict, profile and spectra."""
    viewer.window.resize(1400, 900)
    for data, options, _ in stem_low_dose():
        viewer.add_image(data, **options)
    reucid = ReucidWidget(viewer)
    viewer.window.add_dock_widget(reucid, name="REUCID")
    denoise(viewer, reucid)
    viewer.window.remove_dock_widget(reucid)
    widget = open_widget(viewer, "Inspect")
    widget.inspect()
    while widget.runner.busy:
        QTest.qWait(20)
    widget.curtain.switch.setChecked(True)
    widget.curtain.slider.setValue(450)
    widget.measure.line_button.click()
    viewer.layers.selection.active = viewer.layers[1]
    widget.sections["gain"].section.expand()
    QTest.qWait(4000)
    viewer.fit_to_view()
    QTest.qWait(1000)
    take(viewer, "inspect.png")


def right_click(viewer: napari.Viewer, name: str) -> None:
    """Right-click on the topmost layer, and take a picture of the menu."""
    view = viewer.window._qt_viewer.layers

    def shoot() -> None:
        menu = QApplication.activePopupWidget()
        try:
            IMAGES.mkdir(exist_ok=True)
            menu.grab().save(str(IMAGES / name))
        finally:  # an open menu would wait for ever
            if menu is not None:
                menu.close()

    QTimer.singleShot(800, shoot)
    QTest.mouseClick(
        view.viewport(),
        Qt.MouseButton.RightButton,
        pos=view.visualRect(view.model().index(0, 0)).center(),
    )


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
    main(*sys.argv[1:])
