"""Open napari with the widget 'Live' on a simulated camera; no hardware is needed.

python examples/demo_live.py [--seconds 5]

Without a screen, the script denoises the frames of the camera for a few seconds, and prints how
far behind the camera they are.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from napari_lowdose import LiveRun, Reucid
from napari_lowdose.live.sample_camera import SampleCamera

SECONDS = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="without a screen")
    arguments = parser.parse_args()
    desktop = sys.platform in ("darwin", "win32")
    if desktop or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")):
        show()
    else:
        print_rates(arguments.seconds)


def show() -> None:
    import napari

    viewer = napari.Viewer(title="napari-lowdose live demo")
    _, widget = viewer.window.add_plugin_dock_widget("napari-lowdose", "Denoise live")
    viewer.canvas.grid.enabled = True  # raw and clean side by side
    widget.form.choose("sample camera (simulated)")
    widget.start()
    napari.run()


def print_rates(seconds: float) -> None:
    run = LiveRun(SampleCamera(), Reucid())
    begun = told = time.perf_counter()
    for step in run:
        if step.finished - told > 1:
            told = step.finished
            print(
                f"{told - begun:3.0f} s: {step.n_in} frames in, {step.n_dropped} dropped, "
                f"{1000 * step.latency:.0f} ms behind the camera"
            )
        if step.finished - begun > seconds:
            run.stop()


if __name__ == "__main__":
    main()
