"""What tests share: a specimen with a known truth, and napari settings of their own."""

import os
import sys
import tempfile

# Before napari is imported: tests neither read nor change the settings of whoever runs them
os.environ["NAPARI_CONFIG"] = os.path.join(tempfile.mkdtemp(prefix="napari-"), "settings.yaml")

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

# The first example imports modules, and a busy machine is slow
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

# Without a screen Qt can make widgets, but not the OpenGL canvas of a viewer
if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    os.environ["QT_QPA_PLATFORM"] = "offscreen"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests with a viewer if there is no screen."""
    if os.environ.get("QT_QPA_PLATFORM") != "offscreen":
        return
    no_screen = pytest.mark.skip(reason="no screen: run under xvfb-run -a")
    for item in items:
        if {"make_napari_viewer", "shared_viewer"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(no_screen)


@pytest.fixture
def truth() -> NDArray[np.float64]:
    """Return a crystal of round columns, one of them missing; counts per pixel, (96, 96)."""
    y, x = np.mgrid[:96, :96]
    image = np.full((96, 96), 4.0)
    for row in range(8, 96, 16):
        for column in range(8, 96, 16):
            if (row, column) != (40, 56):
                image += 40 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * 3.0**2))
    return image


@pytest.fixture
def noisy(truth: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Return `truth` as a camera counts it."""
    return np.random.default_rng(0).poisson(truth).astype(np.uint16)
