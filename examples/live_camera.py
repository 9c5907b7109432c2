"""Denoise and record the live view of a microscope that Micro-Manager controls.

Usage: python examples/live_camera.py [FRAMES]

Here it is the demonstration camera of Micro-Manager.  For your own microscope, load its
configuration instead, or take the core that runs already: CMMCorePlus.instance().  Needs
pip install "napari-lowdose[live]" and the device adapters of Micro-Manager (mmcore install).
"""

import sys

from pymmcore_plus import CMMCorePlus

from napari_lowdose import LiveRun, Reucid
from napari_lowdose.live import CameraSource


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    core = CMMCorePlus()
    core.loadSystemConfiguration("MMConfig_demo.cfg")
    core.setExposure(30)

    # The camera never waits.  The newest frame is denoised; all of them are recorded.
    run = LiveRun(CameraSource(core), Reucid())
    recorder = run.record("live.zarr", raw=True, clean=True)
    core.startContinuousSequenceAcquisition()
    for step in run:
        print(
            f"frame {step.frame.number}: {1000 * step.latency:.0f} ms after it arrived, "
            f"{step.n_in} in, {step.n_dropped} not shown {step.message}"
        )
        if step.frame.number >= n:
            run.stop()
    core.stopSequenceAcquisition()
    print(recorder.summary)  # live_raw.zarr and live_clean.zarr


if __name__ == "__main__":
    main()
