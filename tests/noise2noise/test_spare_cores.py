"""Threads of a training leave the cores alone that other programs use."""

from types import SimpleNamespace

import pytest

from napari_lowdose import Noise2Noise

torch = pytest.importorskip("torch")
from napari_lowdose.noise2noise import spare_cores  # noqa: E402


class Machine:
    """Four cores, of which other programs use some."""

    def __init__(self, monkeypatch):
        self.now = self.own = self.others = self.idle = 0.0
        monkeypatch.setattr(spare_cores.psutil, "cpu_count", lambda: 4)
        monkeypatch.setattr(spare_cores.psutil, "cpu_times", self.system)
        monkeypatch.setattr(spare_cores.psutil, "Process", lambda: self)
        monkeypatch.setattr(spare_cores.time, "perf_counter", lambda: self.now)

    def system(self):
        from collections import namedtuple

        times = namedtuple("times", "user system idle iowait guest")
        return times(self.own + self.others, 0.0, self.idle, 0.0, 0.0)

    def cpu_times(self):
        return SimpleNamespace(user=self.own, system=0.0)

    def run(self, seconds, own, others):
        self.now += seconds
        self.own += own * seconds
        self.others += others * seconds
        self.idle += (4 - own - others) * seconds


@pytest.fixture
def four_threads():
    n = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(n)


@pytest.mark.usefixtures("four_threads")
def test_other_programs_keep_their_cores(monkeypatch):
    machine = Machine(monkeypatch)
    cores = spare_cores.SpareCores()
    for own, others, n in (
        (4, 0, 4),
        (3.8, 0.2, 4),
        (3, 1, 3),
        (1, 3, 1),
        (0.2, 3.8, 1),
        (4, 0, 4),
    ):
        machine.run(2.0, own, others)
        with cores.used():
            assert torch.get_num_threads() == n
        assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
def test_the_number_changes_about_once_a_second(monkeypatch):
    machine = Machine(monkeypatch)
    cores = spare_cores.SpareCores()
    machine.run(0.1, 1, 3)
    with cores.used():
        assert torch.get_num_threads() == 4


def test_a_set_number_of_epochs_keeps_the_number_of_threads(monkeypatch):
    from napari_lowdose.noise2noise import training
    from napari_lowdose.samples import stem_pair

    def refuse():
        raise AssertionError("the number of threads would change the rounding")

    monkeypatch.setattr(training, "SpareCores", refuse)
    first, second, _ = (image[:64, :64] for image in stem_pair())
    Noise2Noise(preset="fast", width=4, epochs=1, device="cpu").train(first, second)
    with pytest.raises(AssertionError, match="rounding"):
        Noise2Noise(preset="fast", width=4, time_budget=1, device="cpu").train(first, second)
