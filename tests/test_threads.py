"""Computations in parallel: complete, in order, and without waiting for one another."""

import multiprocessing
import os
import threading
import time

import pytest

from napari_lowdose import threads
from napari_lowdose.threads import beside, in_parallel


def test_results_are_in_order_whatever_ends_first() -> None:
    def slow_at_first(number: int) -> int:
        time.sleep(0.02 if number == 0 else 0)
        return number**2

    assert in_parallel(slow_at_first, range(20)) == [number**2 for number in range(20)]


def test_an_error_is_raised_and_ends_the_rest() -> None:
    done = []

    def fails_at_three(number: int) -> None:
        done.append(number)
        time.sleep(0.002)
        if number == 3:
            raise IndexError("the third")

    with pytest.raises(IndexError, match="the third"):
        in_parallel(fails_at_three, range(500))
    assert len(done) < 100


def test_nested_and_concurrent_calls_do_not_wait_for_ever() -> None:
    def nested(number: int) -> int:
        return sum(in_parallel(abs, range(number)))

    results: list[list[int]] = []
    callers = [
        threading.Thread(target=lambda: results.append(in_parallel(nested, range(30))), daemon=True)
        for _ in range(4)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
    assert results == [[number * (number - 1) // 2 for number in range(30)]] * 4


def test_beside_raises_its_error_when_asked() -> None:
    assert beside(abs, -2).result() == 2
    with pytest.raises(ZeroDivisionError):
        beside(lambda number: 1 / number, 0).result()


def _in_child(results: "multiprocessing.Queue[list[int]]") -> None:
    results.put(in_parallel(abs, range(8)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_works_in_a_forked_process() -> None:
    in_parallel(abs, range(8))  # the pool of the parent has threads, which the child has not
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=_in_child, args=(results,))
    child.start()
    try:
        assert results.get(timeout=20) == list(range(8))
    finally:
        child.join(5)
        child.kill()


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
