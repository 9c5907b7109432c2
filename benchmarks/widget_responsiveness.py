"""Responsiveness of the user interface during a run, and the delay of Stop.

Run on a screen or under ``xvfb-run -a``: ``python -m benchmarks.widget_responsiveness``.
The longest stall of the event loop, including painting, is measured with a timer of 5 ms.
"""

import time

import napari
import numpy as np
from qtpy.QtCore import QTimer, qVersion
from qtpy.QtTest import QTest

from benchmarks.event_loop import Stalls, crystal
from napari_lowdose.widgets.reucid_widget import ReucidWidget


def settling(widget):
    return any(timer.isActive() for timer in widget.findChildren(QTimer, "settle"))


def wait(widget):
    while widget.runner.busy or widget._running is not None or settling(widget):
        QTest.qWait(5)


def measure(viewer, widget, image, n_stacks):
    for layer in viewer.layers:  # removing them all crashes napari 0.9.2 on software OpenGL
        layer.visible = False
    widget.form.layer_combo.value = viewer.add_image(image, name="noisy")
    viewer.reset_view()
    widget.form.n_stacks.setValue(n_stacks)
    wait(widget)
    QTest.qWait(500)
    begin, stalls = time.perf_counter(), Stalls()
    widget.denoise()
    wait(widget)
    took = time.perf_counter() - begin
    worst = np.sort(stalls.stop()[1])[::-1]
    longest, percentile = worst[0], worst[len(worst) // 100]
    widget.denoise()
    QTest.qWait(round(300 * took))
    begin = time.perf_counter()
    widget.stop()
    wait(widget)
    stop = time.perf_counter() - begin
    widget.gallery.toggled.emit(0, 1)
    begin = time.perf_counter()
    while widget.runner.busy or settling(widget):
        QTest.qWait(5)
    rebuild = time.perf_counter() - begin
    shape = " x ".join(map(str, image.shape))
    print(
        f"| {shape} | {n_stacks} | {took:.2f} | {1000 * longest:.0f} "
        f"| {1000 * percentile:.0f} | {1000 * stop:.0f} | {1000 * rebuild:.0f} |",
        flush=True,
    )


def main():
    viewer = napari.Viewer(show=True)
    widget = ReucidWidget(viewer)
    viewer.window.add_dock_widget(widget, name="REUCID")
    print(f"napari {napari.__version__}, Qt {qVersion()}")
    print(
        "| image | stacks | run s | longest stall ms | 99th percentile ms | Stop ms | toggle ms |"
    )
    print("|---|---|---|---|---|---|---|")
    measure(viewer, widget, crystal(256), 1)  # imports and first drawing
    for side, n_stacks in [(512, 1), (512, 5), (1024, 1), (1024, 5), (2048, 5)]:
        measure(viewer, widget, crystal(side), n_stacks)
    viewer.close()


if __name__ == "__main__":
    main()
