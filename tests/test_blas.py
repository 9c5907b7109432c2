import subprocess
import sys
import threading

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from napari_lowdose.blas import _take_control, one_blas_thread


@pytest.fixture
def two_threads():
    """Let BLAS use two threads, whatever the environment says."""
    controller = ThreadpoolController().select(user_api="blas")
    if not len(controller):
        pytest.skip("NumPy has no BLAS whose threads can be limited")
    _take_control()  # another test may have set a limit in another thread
    with controller.limit(limits=2):
        yield lambda: {library["num_threads"] for library in controller.info()}


def test_the_limit_holds_whichever_thread_sets_it(two_threads):
    seen = []

    def work():
        with one_blas_thread():
            np.ones((8, 8)) @ np.ones((8, 8))
            seen.append(two_threads())
        seen.append(two_threads())

    work()
    for _ in range(2):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert seen == 3 * [{1}, {2}]


def test_the_last_one_to_leave_lifts_the_limit(two_threads):
    entered, leave = threading.Event(), threading.Event()

    def work():
        with one_blas_thread():
            entered.set()
            leave.wait(20)

    thread = threading.Thread(target=work)
    with one_blas_thread():
        thread.start()
        entered.wait(20)
    assert two_threads() == {1}
    leave.set()
    thread.join()
    assert two_threads() == {2}


def test_a_blas_that_is_loaded_later_is_limited_as_well():
    code = """
from napari_lowdose.blas import one_blas_thread
with one_blas_thread():
    pass
import scipy.linalg
from threadpoolctl import ThreadpoolController
controller = ThreadpoolController().select(user_api="blas")
with controller.limit(limits=2), one_blas_thread():
    assert {library["num_threads"] for library in controller.info()} <= {1}, controller.info()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
