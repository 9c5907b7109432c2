"""Update an image layer as a camera would, while the widget 'Live' denoises it.

Usage: python examples/live_layer.py [FRAMES]

Any program that updates an image layer can take the place of the simulated camera here.  Without a
screen, the frames are denoised without a viewer.
"""

import itertools
import os
import sys
from collections.abc import Iterable, Iterator

import numpy as np

from napari_lowdose import denoise_live
from napari_lowdose.samples import camera_frames


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else None
    frames = itertools.islice(camera_frames(), n)
    desktop = sys.platform in ("darwin", "win32")
    if desktop or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")):
        show(frames)
    else:
        for step in denoise_live(frames):
            print(f"frame {step.frame.number}: {1000 * step.latency:.0f} ms after it arrived")


def show(frames: Iterable[np.ndarray]) -> None:
    import napari
    from napari.qt.threading import thread_worker

    viewer = napari.Viewer(title="napari-lowdose: a layer that is updated")
    blank = np.zeros((512, 512), np.uint16)
    layer = viewer.add_image(blank, name="preview", contrast_limits=(0, 8))

    @thread_worker
    def acquire() -> Iterator[np.ndarray]:
        yield from frames

    camera = acquire()
    camera.yielded.connect(lambda frame: setattr(layer, "data", frame))  # in the GUI thread
    camera.start()

    _, widget = viewer.window.add_plugin_dock_widget("napari-lowdose", "Denoise live")
    widget.start_on(layer)  # or right-click on the layer > Denoise live
    napari.run()


if __name__ == "__main__":
    main()
