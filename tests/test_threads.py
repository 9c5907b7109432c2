import threading
import time

import pytest

from napari_lowdose import threads


@pytest.mark.parametrize("cores", [2, 3])
def test_a_core_is_left_free_as_long_as_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.setattr(threads, "N_THREADS", cores)

    def used(_: int) -> str:
        time.sleep(0.01)
        return threading.current_thread().name

    with threads.core_left_free():
        assert len(set(threads.in_parallel(used, range(6)))) == cores - 1
    assert len(set(threads.in_parallel(used, range(6)))) == cores
