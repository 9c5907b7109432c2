"""The widget 'Live' beside a camera: frames per second, latency, and the event loop meanwhile.

Run on a screen or under ``xvfb-run -a``: ``python -m benchmarks.live_widget [SECONDS] [RUNS]``.
The camera is a process of its own that hands over 512 x 512 frames of 16 bits, 30 each second.
Latency is the time from the arrival of a frame until it is in the array of the layer.  The delay
of a timer of 5 ms, painting included, is that of the user interface.
"""

import itertools
import multiprocessing
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

import napari
import numpy as np
from qtpy.QtCore import qVersion
from qtpy.QtTest import QTest

from benchmarks.event_loop import Stalls, crystal
from napari_lowdose.live.feed import IterableSource
from napari_lowdose.widgets.live_widget import LiveWidget

SIDE, RATE = 512, 30.0
N_FRAMES = 16  # different ones
WARM_UP = 3.0  # seconds: the first frame is decomposed, and the first pictures are drawn


def camera(frames: Connection, rate: float) -> None:
    """Send frames at a constant rate, whether anybody reads them or not."""
    images = [crystal(SIDE, seed) for seed in range(N_FRAMES)]
    begun = time.perf_counter()
    for number in itertools.count():
        time.sleep(max(begun + number / rate - time.perf_counter(), 0.0))
        frames.send_bytes(images[number % N_FRAMES].tobytes())


def received(frames: Connection) -> Iterator[np.ndarray]:
    while True:
        try:
            yield np.frombuffer(frames.recv_bytes(), np.uint16).reshape(SIDE, SIDE)
        except EOFError:
            return


def measure(widget: LiveWidget, seconds: float) -> list[float]:
    """Return frames/s in, shown and painted, processor cores used, latencies and delays, ms."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=camera, args=(theirs, RATE), daemon=True)
    process.start()
    theirs.close()
    widget.form.source = lambda parent: IterableSource(received(ours))
    widget.start()
    while widget.view.clean.layer is None:
        QTest.qWait(20)
    QTest.qWait(round(1000 * WARM_UP))
    latencies: list[float] = []
    painted = 0

    def shown(latency: float) -> None:
        latencies.append(1000 * latency)

    def set_data(event: object) -> None:
        nonlocal painted
        painted += 1

    widget.view.rates.shown = shown
    layer = widget.view.clean.layer
    layer.events.set_data.connect(set_data)
    stalls, n_in, cpu = Stalls(), widget.view.run.feed.n_in, time.process_time()
    QTest.qWait(round(1000 * seconds))
    delays = 1000 * stalls.stop()[1]
    n_in = widget.view.run.feed.n_in - n_in
    cpu = time.process_time() - cpu
    layer.events.set_data.disconnect(set_data)
    process.kill()
    widget.stop()
    while widget.running:
        QTest.qWait(5)
    return [
        n_in / seconds,
        len(latencies) / seconds,
        painted / seconds,
        cpu / seconds,
        *np.percentile(latencies, (50, 95)),
        *np.percentile(delays, (50, 95, 100)),
    ]


def layer_costs(viewer: napari.Viewer, n: int = 50) -> None:
    """Print the time that a new frame takes in a layer, and until it is painted."""
    images = [np.float32(crystal(SIDE, seed)) for seed in range(4)]
    layer = viewer.add_image(images[0].copy(), name="costs")
    QTest.qWait(500)

    def assigned(image: np.ndarray) -> None:
        layer.data = image

    def written(image: np.ndarray) -> None:
        layer.data[:] = image
        layer.refresh(thumbnail=False, highlight=False, extent=False)

    print("| a frame into a layer | ms | painted after, ms |\n|---|---|---|")
    for name, update in (("layer.data = frame", assigned), ("in place, refresh", written)):
        layer.data = images[0].copy()
        times = []
        for k in range(n):
            begun = time.perf_counter()
            update(images[k % 4])
            done = time.perf_counter()
            QTest.qWait(0)
            times.append((done - begun, time.perf_counter() - begun))
        took, drawn = 1000 * np.median(times, axis=0)
        print(f"| {name} | {took:.1f} | {drawn:.0f} |")
    layer.visible = False


def main(seconds: float = 10.0, runs: int = 3) -> None:
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 800)
    widget = LiveWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Denoise live")
    print(f"napari {napari.__version__}, Qt {qVersion()}")
    layer_costs(viewer)
    print(
        "| frames/s in | into the layer | painted | cores | latency ms | 95 % "
        "| delay ms | 95 % | longest |\n|---|---|---|---|---|---|---|---|---|"
    )
    for _ in range(runs):
        found = measure(widget, seconds)
        row = [f"{rate:.1f}" for rate in found[:4]] + [f"{ms:.0f}" for ms in found[4:]]
        print(f"| {' | '.join(row)} |", flush=True)
    viewer.close()


if __name__ == "__main__":
    main(*map(float, sys.argv[1:2]), *map(int, sys.argv[2:3]))
