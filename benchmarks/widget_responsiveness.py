"""How long the user interface is deaf during a run, and how soon Stop stops.

Run on a screen, or under ``xvfb-run -a``: ``python benchmarks/widget_responsiveness.py``.
A timer that should fire every 5 ms measures the longest stall of the event loop, painting
included.
"""

import time

import napari
import numpy as np
from qtpy.QtCore import QTimer, qVersion
from qtpy.QtTest import QTest

from napari_lowdose.widgets.reucid_widget import ReucidWidget

TICK = 0.005  # seconds


class Stalls:
    """The longest times between two ticks."""

    def __init__(self):
        self.waits = []
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setInterval(round(1000 * TICK))
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def _tick(self):
        now = time.perf_counter()
        self.waits.append(now - self._last - TICK)
        self._last = now

    def stop(self):
        self._timer.stop()
        worst = sorted(self.waits)[::-1]
        return worst[0], worst[len(worst) // 100]


def crystal(side):
    y, x = np.mgrid[:side, :side]
    truth = 2 + np.sin(x * 2 * np.pi / 16) * np.sin(y * 2 * np.pi / 16)
    return np.random.default_rng(0).poisson(5 * truth).astype(np.uint16)


def wait(widget):
    while widget.runner.busy or widget._running is not None or widget._estimate_later.isActive():
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
    longest, percentile = stalls.stop()
    widget.denoise()
    QTest.qWait(round(300 * took))
    begin = time.perf_counter()
    widget.stop()
    wait(widget)
    stop = time.perf_counter() - begin
    widget.gallery.toggled.emit(0, 1)
    begin = time.perf_counter()
    while widget.runner.busy or widget._rebuild_later.isActive():
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
