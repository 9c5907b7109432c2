"""Responsiveness of the user interface during training, and the delay of Stop.

Run on a screen or under ``xvfb-run -a``: ``python -m benchmarks.noise2noise_responsiveness``.
The delay of a timer with an interval of 5 ms is measured.  Delays while the preview is received and
painted are listed separately.
"""

import sys
import time

import napari
import numpy as np
from qtpy.QtCore import qVersion
from qtpy.QtTest import QTest

from benchmarks.event_loop import Stalls, crystal
from napari_lowdose.widgets.noise2noise_widget import Noise2NoiseWidget

SECONDS = 20


def wait(widget):
    while widget.runner.busy or widget._running is not None or widget._check_due:
        QTest.qWait(5)


def measure(viewer, widget, side, seconds):
    for layer in viewer.layers:  # removing them all crashes napari 0.9.2 on software OpenGL
        layer.visible = False
    pair = [viewer.add_image(crystal(side, seed), name=f"{side}, {seed}") for seed in (0, 1)]
    widget.choose_pair(*pair)
    viewer.reset_view()
    widget.form.stop.choose("time", seconds)
    wait(widget)
    QTest.qWait(500)
    painted, shown = [], []
    canvas = viewer.window._qt_viewer.canvas

    def painting(event):
        painted.append(time.perf_counter())

    canvas._scene_canvas.events.draw.connect(painting)
    begin, stalls, first = time.perf_counter(), Stalls(), None
    widget.train()
    n_layers = len(viewer.layers)
    while widget._running is not None:
        QTest.qWait(2)
        if first is None and len(viewer.layers) > n_layers:
            first = time.perf_counter() - begin
            shown.append(time.perf_counter())
    times, waits = stalls.stop()
    canvas._scene_canvas.events.draw.disconnect(painting)
    # Stalls in which the canvas was drawn belong to the preview
    own = np.zeros(len(times), bool)
    for at in painted:
        k = np.searchsorted(times, at)
        own[max(k - 1, 0) : k + 2] = True
    rest = waits[~own]
    steps = widget.model.record["n_steps"]

    widget.train()
    QTest.qWait(3000)
    begin = time.perf_counter()
    widget.stop()
    while widget._running is not None and not widget._running._applied:
        QTest.qWait(2)
    stop = time.perf_counter() - begin
    wait(widget)
    print(
        f"| {side} x {side} | {steps / seconds:.0f} | {first:.1f} | {1000 * np.median(waits):.0f} "
        f"| {1000 * np.percentile(rest, 99):.0f} | {1000 * rest.max():.0f} "
        f"| {1000 * waits.max():.0f} | {1000 * stop:.0f} |",
        flush=True,
    )


def main(seconds=SECONDS):
    viewer = napari.Viewer(show=True)
    widget = Noise2NoiseWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Noise2Noise pair")
    print(f"napari {napari.__version__}, Qt {qVersion()}")
    print(
        "| pair | steps/s | first preview s | median ms | 99th percentile ms | longest ms "
        "| with preview ms | Stop ms |"
    )
    print("|---|---|---|---|---|---|---|---|")
    measure(viewer, widget, 128, 3)  # imports and first drawing
    for side in (512, 1024):
        measure(viewer, widget, side, seconds)
    viewer.close()


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
