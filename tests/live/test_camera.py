"""Cameras of Micro-Manager: the acquisition is not held up, and no frame is lost in silence."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_lowdose import LiveRun, Reucid, metrics, samples
from napari_lowdose.io.readers import read_image
from napari_lowdose.live import camera as camera_module
from napari_lowdose.live.camera import CameraSource
from napari_lowdose.live.feed import Feed
from napari_lowdose.live.growing_zarr import GrowingZarr
from tests.live.test_recorder import Double

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pymmcore_plus = pytest.importorskip("pymmcore_plus", reason="cameras need pymmcore-plus")
pytest.importorskip("mm_test_adapters", reason="the demonstration camera is missing")
useq = pytest.importorskip("useq")
unicore = pytest.importorskip("pymmcore_plus.experimental.unicore")


def closed(core: Any) -> None:
    """Unload a core, which must not call back into an interpreter that ends."""
    core.mda.cancel()
    if core.isSequenceRunning():
        core.stopSequenceAcquisition()
    core.unloadAllDevices()
    core.__del__()
    gc.collect()


@pytest.fixture
def core() -> Iterator[Any]:
    """Return a core with the demonstration camera, 512 x 512 pixels of 16 bits."""
    core = pymmcore_plus.CMMCorePlus()
    core.loadSystemConfiguration("MMConfig_demo.cfg")
    core.setExposure(2)
    yield core
    closed(core)


class SampleCamera(unicore.SimpleCameraDevice):  # type: ignore[misc]
    """Camera that looks at the sample; the first pixel of a frame is its number."""

    def __init__(self, fails_after: int | None = None) -> None:
        super().__init__()
        truth = samples.stem_pair(dose=200_000.0)[2]
        self.truth = truth * 50
        self.sent: list[np.ndarray] = []
        self.exposure = 5.0
        self._fails_after = fails_after
        self._rng = np.random.default_rng(0)

    def sensor_shape(self) -> tuple[int, int]:
        return self.truth.shape

    def dtype(self) -> type:
        return np.uint16

    def get_exposure(self) -> float:
        return self.exposure

    def set_exposure(self, exposure: float) -> None:
        self.exposure = exposure

    def snap(self, buffer: np.ndarray) -> Mapping[str, Any]:
        if len(self.sent) == self._fails_after:
            raise OSError("the cable is out")
        time.sleep(self.exposure / 1000)
        buffer[:] = self._rng.poisson(self.truth)
        buffer[0, 0] = len(self.sent)
        self.sent.append(buffer.copy())
        return {}


def core_with(device: SampleCamera) -> Any:
    core = unicore.UniMMCore()
    core.loadPyDevice("sample", device)
    core.initializeDevice("sample")
    core.setCameraDevice("sample")
    core.setAutoShutter(False)
    return core


@pytest.fixture
def sample() -> Iterator[tuple[Any, SampleCamera]]:
    """Return a core with a camera that looks at the sample, and the camera."""
    device = SampleCamera()
    core = core_with(device)
    yield core, device
    closed(core)


def listening(core: Any) -> tuple[CameraSource, Feed, list[Any]]:
    """Return a source that is started, its feed, and the list of all frames put."""
    source, feed, seen = CameraSource(core), Feed(), []
    feed.watch(seen.append)
    source.start(feed)
    return source, feed, seen


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.01)


def running(run: LiveRun) -> tuple[threading.Thread, list[Any], list[BaseException]]:
    """Iterate a run in a thread; return it, the steps and the errors."""
    steps: list[Any] = []
    errors: list[BaseException] = []

    def iterate() -> None:
        try:
            steps.extend(run)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=iterate, daemon=True)
    thread.start()
    until(lambda: run.source._thread.is_alive())  # type: ignore[attr-defined]
    return thread, steps, errors


# ------------------------------------------------------------------ multi-dimensional acquisitions


@pytest.mark.parametrize("hardware", [False, True])
def test_every_frame_of_an_acquisition_arrives_in_order_and_is_recorded(
    core: Any, tmp_path: Path, hardware: bool
) -> None:
    core.mda.engine.use_hardware_sequencing = hardware
    taken: list[np.ndarray] = []
    core.mda.events.frameReady.connect(lambda pixels, *_: taken.append(pixels.copy()))
    run = LiveRun(CameraSource(core), Double())
    recorder = run.record(tmp_path / "movie.zarr", raw=True, clean=True)
    thread, steps, errors = running(run)
    plan = {"interval": 0, "loops": 20}
    core.mda.run(useq.MDASequence(time_plan=plan))
    core.mda.run(useq.MDASequence(time_plan={**plan, "loops": 3}, channels=["DAPI", "FITC"]))
    until(lambda: not run.feed.n_in or steps[-1].frame.number == run.feed.n_in - 1)
    run.stop()
    thread.join(5)
    assert errors == [] and len(taken) == 26
    assert run.feed.n_in == 26 == len(steps) + run.feed.n_dropped
    numbers = [step.frame.number for step in steps]
    assert numbers == sorted(set(numbers))
    for step in steps:
        np.testing.assert_array_equal(step.frame.pixels, taken[step.frame.number])
    raw, clean = recorder.raw, recorder.clean
    assert raw is not None and clean is not None
    file = read_image(raw.path)
    assert file.pixels.dtype == np.uint16 and (file.pixel_size, file.unit) == ((1.0, 1.0), "µm")
    np.testing.assert_array_equal(np.asarray(file.pixels), taken)
    frames = GrowingZarr.open(raw.path).frames
    assert [frame.name for frame in frames[18:23]] == [
        "t=18",
        "t=19",
        "t=0, c=0",
        "t=0, c=1",
        "t=1, c=0",
    ]
    np.testing.assert_array_equal(
        np.asarray(read_image(clean.path).pixels), [2.0 * taken[number] for number in numbers]
    )


def test_an_acquisition_that_runs_already(core: Any) -> None:
    thread = core.run_mda(useq.MDASequence(time_plan={"interval": 0.01, "loops": 60}))
    until(lambda: core.mda.is_running())
    source, _, seen = listening(core)
    thread.join(10)
    source.stop()
    assert 0 < len(seen) <= 60
    assert seen[-1].name == "t=59"


def test_a_slow_reader_does_not_slow_the_acquisition(core: Any) -> None:
    plan = useq.MDASequence(time_plan={"interval": 0, "loops": 50})
    core.mda.engine.use_hardware_sequencing = False

    def seconds() -> float:
        begun = time.perf_counter()
        core.mda.run(plan)
        return time.perf_counter() - begun

    alone = min(seconds() for _ in range(3))
    source, feed, seen = listening(core)

    def read() -> None:
        for _ in feed:
            time.sleep(0.2)

    threading.Thread(target=read, daemon=True).start()
    watched = min(seconds() for _ in range(3))
    source.stop()
    feed.close()
    assert len(seen) == 150 and feed.n_dropped > 100
    assert watched < 1.3 * alone + 0.05  # a reader in its way would take 10 seconds


@pytest.mark.parametrize("hardware", [False, True])
def test_a_camera_that_fails_in_an_acquisition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hardware: bool
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # that of the core's thread
    device = SampleCamera(fails_after=5)
    core = core_with(device)
    core.mda.engine.use_hardware_sequencing = hardware
    run = LiveRun(CameraSource(core), Double())
    run.record(tmp_path / "movie.zarr")
    thread, _, errors = running(run)
    core.mda.run(useq.MDASequence(time_plan={"interval": 0, "loops": 8}))
    thread.join(5)
    (error,) = errors
    assert str(error).startswith("The camera has given no image in the end of the acquisition")
    file = read_image(tmp_path / "movie.zarr")
    np.testing.assert_array_equal(np.asarray(file.pixels), device.sent)
    closed(core)


def test_an_acquisition_that_fails(core: Any, tmp_path: Path) -> None:
    def events() -> Iterator[Any]:
        yield from (useq.MDAEvent(index={"t": k}) for k in range(3))
        raise OSError("the stage is stuck")

    run = LiveRun(CameraSource(core), Double())
    run.record(tmp_path / "movie.zarr")
    thread, _, errors = running(run)
    with pytest.raises(OSError, match="the stage is stuck"):
        core.mda.run(events())
    thread.join(5)
    (error,) = errors
    assert str(error) == "The acquisition has failed: see the log of pymmcore-plus."
    assert len(read_image(tmp_path / "movie.zarr").pixels) == 3


def test_a_canceled_acquisition_is_no_error(core: Any) -> None:
    source, feed, seen = listening(core)
    thread = core.run_mda(useq.MDASequence(time_plan={"interval": 0.05, "loops": 100}))
    until(lambda: len(seen) > 2)
    core.mda.cancel()
    thread.join(5)
    core.mda.run(useq.MDASequence(time_plan={"interval": 0, "loops": 2}))
    assert seen[-1].name == "t=1"
    source.stop()
    feed.end()
    list(feed)


# ------------------------------------------------------------------- live view and single images


def test_each_frame_of_a_live_view_arrives_once_in_order(
    sample: tuple[Any, SampleCamera], tmp_path: Path
) -> None:
    core, device = sample
    run = LiveRun(CameraSource(core), Double())
    run.record(tmp_path / "movie.zarr")
    thread, _, errors = running(run)
    for n in (50, 80):  # stopped, and begun again
        core.startContinuousSequenceAcquisition()
        until(lambda n=n: len(device.sent) >= n)  # type: ignore[misc]
        core.stopSequenceAcquisition()
        until(lambda: run.feed.n_in == len(device.sent))
    core.snapImage()
    until(lambda: run.feed.n_in == len(device.sent))
    run.stop()
    thread.join(5)
    assert errors == []
    file = read_image(tmp_path / "movie.zarr")
    np.testing.assert_array_equal(np.asarray(file.pixels), device.sent)
    assert file.pixel_size is None  # the core does not know it


def test_a_live_view_that_runs_already_and_does_not_end(core: Any) -> None:
    interval = sys.getswitchinterval()
    core.startContinuousSequenceAcquisition()
    until(lambda: core.getRemainingImageCount() > 3)
    source, _, seen = listening(core)
    assert sys.getswitchinterval() < interval  # threads of Python give way to the acquisition
    until(lambda: len(seen) >= 3)
    source.stop()
    assert sys.getswitchinterval() == interval
    assert core.isSequenceRunning()
    n = len(seen)
    time.sleep(0.05)
    assert len(seen) == n
    assert core.getRemainingImageCount() > n  # they are left to others
    core.stopSequenceAcquisition()


def test_the_images_are_denoised(sample: tuple[Any, SampleCamera]) -> None:
    core, device = sample
    run = LiveRun(CameraSource(core), Reucid())
    thread, steps, errors = running(run)
    core.snapImage()
    until(lambda: bool(steps), 20)
    run.stop()
    thread.join(5)
    assert errors == []
    data_range = float(device.truth.max())
    raw, clean = (
        metrics.psnr(device.truth, image, data_range=data_range)
        for image in (device.sent[0].astype(np.float32), steps[0].image)
    )
    assert clean > raw + 3


def test_a_camera_that_fails_in_the_live_view(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_module, "_PATIENCE", 0.2)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # that of the core's thread
    device = SampleCamera(fails_after=5)
    core = core_with(device)
    run = LiveRun(CameraSource(core), Double())
    run.record(tmp_path / "movie.zarr")
    thread, _, errors = running(run)
    core.startContinuousSequenceAcquisition()
    thread.join(5)
    (error,) = errors
    assert str(error) == ("The camera cannot be read any more (its live view has ended by itself).")
    file = read_image(tmp_path / "movie.zarr")
    np.testing.assert_array_equal(np.asarray(file.pixels), device.sent)
    closed(core)


def test_a_camera_that_is_unloaded(core: Any) -> None:
    source, feed, _ = listening(core)
    core.startContinuousSequenceAcquisition()
    next(iter(feed))
    core.stopSequenceAcquisition()
    core.unloadAllDevices()
    with pytest.raises(RuntimeError, match="The camera cannot be read any more"):
        list(feed)
    source.stop()


def test_a_colour_camera_is_refused(core: Any) -> None:
    source, feed, _ = listening(core)
    core.setProperty("Camera", "PixelType", "32bitRGB")
    with pytest.raises(ValueError, match="colour"):
        CameraSource(core).start(Feed())
    core.snapImage()  # changed in the middle
    with pytest.raises(ValueError, match="set its pixel type to grey"):
        list(feed)
    source.stop()


def test_no_camera() -> None:
    core = pymmcore_plus.CMMCorePlus()
    run = LiveRun(CameraSource(core), Double())
    with pytest.raises(ValueError, match="No camera is loaded"):
        list(run)
    run.source.stop()
    closed(core)


def test_without_pymmcore_plus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymmcore_plus", None)
    with pytest.raises(ImportError, match=r'pip install "napari-lowdose\[live\]"'):
        CameraSource()


# -------------------------------------------------------------------------- beside a busy window


def test_frames_do_not_wait_for_a_busy_window(qapp: Any) -> None:
    core = pymmcore_plus.CMMCorePlus()  # with an application, its signals are those of Qt
    assert type(core.events).__name__ == "QCoreSignaler"
    core.loadSystemConfiguration("MMConfig_demo.cfg")
    core.setExposure(2)
    source, _, seen = listening(core)
    thread = core.run_mda(useq.MDASequence(time_plan={"interval": 0, "loops": 10}))
    thread.join(10)  # the window does nothing else meanwhile
    assert [frame.name for frame in seen] == [f"t={k}" for k in range(10)]
    core.startContinuousSequenceAcquisition()
    until(lambda: len(seen) > 20)
    core.stopSequenceAcquisition()
    source.stop()
    core.snapImage()
    n = len(seen)
    qapp.processEvents()
    assert len(seen) == n
    closed(core)
