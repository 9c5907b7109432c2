"""The job runner: what a person relies on whatever the engine does."""

import threading
import time
import warnings
from types import SimpleNamespace

import pytest
from napari.qt.threading import WorkerBase
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication, QWidget

from napari_lowdose.engine import Step
from napari_lowdose.widgets import jobs
from napari_lowdose.widgets.jobs import Job, JobRunner

pytestmark = pytest.mark.usefixtures("qtbot")


@pytest.fixture
def runner(qtbot):
    """Return a runner that is stopped at the end of the test."""
    runner = JobRunner()
    yield runner
    runner.stop()
    WorkerBase.await_workers(5000)


def counting(n, pause=0.0, closed=None):
    try:
        for i in range(n):
            time.sleep(pause)
            yield Step(fraction=(i + 1) / n, message=str(i))
    finally:
        if closed is not None:
            closed.append(threading.get_ident())


def run(qtbot, runner, steps):
    job, seen, warned = Job(steps), [], []
    job.advanced.connect(seen.append)
    job.warned.connect(warned.append)
    runner.start(job)
    qtbot.waitUntil(lambda: not runner.busy, timeout=10000)
    return job, seen, warned


def test_every_step_arrives_in_order_and_few_deliveries(qtbot, runner):
    job, seen, _ = run(qtbot, runner, counting(300, 0.001))
    assert job.outcome == "done"
    assert [step.message for steps in seen for step in steps] == [str(i) for i in range(300)]
    assert len(seen) < 30


def test_a_short_interval_delivers_more_often(qtbot, runner):
    deliveries = []
    runner.run(counting(100, 0.005), deliveries.append, lambda job: None, interval=5)
    qtbot.waitUntil(lambda: not runner.busy, timeout=10000)
    assert len(deliveries) > 20  # in half a second


def test_stop_does_not_wait_for_a_step_that_may_never_come(qtbot, runner):
    class Waiting:
        def __init__(self):
            self.enough = threading.Event()
            self.stop = self.enough.set

        def __iter__(self):
            yield Step(fraction=0, message="")
            self.enough.wait(20)

    ended = []
    runner.run(Waiting(), lambda steps: None, ended.append)
    begun = time.perf_counter()
    runner.stop()
    qtbot.waitUntil(lambda: bool(ended))
    assert time.perf_counter() - begun < 1


@pytest.mark.parametrize("error", [RuntimeError("CUDA"), ValueError("too small"), MemoryError()])
def test_an_error_ends_the_job_and_the_runner_is_free_again(qtbot, runner, error):
    def steps():
        yield Step(fraction=0.5, message="so far")
        raise error

    job, seen, _ = run(qtbot, runner, steps())
    assert job.outcome == "failed"
    assert job.error.__cause__ is error
    assert seen[0][0].message == "so far"
    assert run(qtbot, runner, counting(2))[0].outcome == "done"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(2, "No such file or directory", "a.html"),
         "No such file or directory: a.html"),
        (OSError("x.zarr cannot be written: choose another output."),
         "x.zarr cannot be written: choose another output."),
        (KeyError("x"), "KeyError: 'x'"),
    ],
)  # fmt: skip
def test_what_a_user_can_mend_is_told_without_the_name_of_the_error(qtbot, runner, error, said):
    def steps():
        yield Step(fraction=0.5, message="so far")
        raise error

    assert str(run(qtbot, runner, steps())[0].error) == said


def test_stop_is_quick_keeps_the_partial_result_and_closes_the_generator(qtbot, runner):
    closed = []
    job, seen = Job(counting(10**6, 0.05, closed)), []
    job.advanced.connect(seen.append)
    runner.start(job)
    qtbot.waitUntil(lambda: bool(seen))
    begin = time.perf_counter()
    runner.stop()
    qtbot.waitUntil(lambda: not runner.busy)
    assert time.perf_counter() - begin < 1
    assert job.outcome == "stopped"
    assert closed and closed[0] != threading.get_ident()


def test_a_second_start_replaces_the_first(qtbot, runner):
    first = Job(counting(10**6, 0.01))
    skipped, last = Job(counting(3)), Job(counting(3))
    for job in (first, skipped, last):
        runner.start(job)
    qtbot.waitUntil(lambda: not runner.busy)
    assert (first.outcome, skipped.outcome, last.outcome) == ("stopped", "stopped", "done")


def test_user_warnings_arrive(qtbot, runner):
    def steps():
        warnings.warn("saturated", stacklevel=1)
        warnings.warn("for programmers", DeprecationWarning, stacklevel=1)
        yield Step(fraction=1, message="")

    assert run(qtbot, runner, steps())[2] == ["saturated"]


def test_a_deleted_runner_stops_its_job(qtbot):
    closed = []
    runner = JobRunner()
    runner.start(Job(counting(10**6, 0.01, closed)))
    qtbot.wait(100)
    runner.deleteLater()
    qtbot.waitUntil(lambda: bool(closed))


def test_a_full_collection_waits_until_many_objects_have_grown_old(monkeypatch):
    collected, seconds = [], [0.0]
    old_objects = [100]
    monkeypatch.setattr(jobs, "_long_lived", jobs._LongLived())
    monkeypatch.setattr(jobs, "time", SimpleNamespace(monotonic=lambda: seconds[0]))
    garbage = SimpleNamespace(
        isenabled=lambda: False,
        get_count=lambda: (0, 0, 999),
        get_threshold=lambda: (700, 10, 10),
        get_objects=lambda generation: [None] * old_objects[0],
        collect=collected.append,
    )
    monkeypatch.setattr(jobs, "gc", garbage)
    for n, expected in ((100, []), (120, []), (130, [2]), (131, [2]), (170, [2, 2])):
        old_objects[0] = n
        seconds[0] += 100
        jobs.collect_garbage()
        jobs.collect_garbage()
        assert collected == expected, n


def test_a_job_with_a_title_is_in_the_activity_dock_until_it_ends(qtbot, monkeypatch):
    from napari.utils import progress

    monkeypatch.setattr(jobs, "SHORT", 0.1)
    seen = []

    def steps():
        for n in range(5):
            time.sleep(0.12)
            yield Step(fraction=(n + 1) / 5, message="")

    def advanced(_):
        seen.extend((bar.desc, bar.n) for bar in progress._all_instances)

    runner = JobRunner()
    runner.run(steps(), advanced, lambda _: None, title="five steps")
    qtbot.waitUntil(lambda: not runner.busy, timeout=5000)
    assert {name.rstrip(": ") for name, _ in seen} == {"five steps"}
    assert any(0 < done < 1000 for _, done in seen)
    assert not list(progress._all_instances)


def test_a_runner_that_is_deleted_leaves_nothing_in_the_activity_dock(qtbot, monkeypatch):
    from napari.utils import progress

    monkeypatch.setattr(jobs, "SHORT", 0.0)
    parent = QWidget()
    runner = JobRunner(parent)
    runner.run(counting(1000, 0.01), lambda steps: None, lambda job: None, title="a run")
    qtbot.waitUntil(lambda: bool(list(progress._all_instances)), timeout=10000)
    parent.deleteLater()
    del parent, runner
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert not list(progress._all_instances)
    WorkerBase.await_workers(5000)
