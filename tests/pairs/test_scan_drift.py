"""Drift while a frame is scanned."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from napari_lowdose import register_pair
from napari_lowdose.noise2noise.pair_checks import check_pair
from napari_lowdose.pairs.scan_drift import scan_drift
from napari_lowdose.samples import nuclei_pair

SIDE = 320


@pytest.fixture(scope="module")
def scene():
    return 60 * nuclei_pair()[2].astype(float)[:SIDE, :SIDE]


def scanned(scene, dy, dx, seed):
    """Return counts of a scan whose rows are shifted by dy, dx, (Y,) each."""
    y, x = np.indices(scene.shape, dtype=float)
    moved = map_coordinates(scene, [y - dy[:, None], x - dx[:, None]], order=3, mode="reflect")
    return np.random.default_rng(seed).poisson(np.maximum(moved, 0)).astype(np.float32)


def pair(scene, dy, dx):
    still = np.zeros(SIDE)
    return scanned(scene, still, still, 0), scanned(scene, dy, dx, 1)


@pytest.mark.parametrize("steady", [True, False])
def test_drift_within_a_scan_is_named_with_its_shifts(scene, steady):
    time = np.linspace(0, 1, SIDE)
    dy = -2.5 + time
    dx = 2.5 - time if steady else 2 * np.sin(2 * np.pi * time)
    first, second = pair(scene, dy, dx)
    (note,) = [note for note in check_pair(first, second) if note.kind == "scan drift"]
    assert "drifted within the scan" in note.message and "at the top" in note.message
    found = scan_drift(first[None], second[None])
    apart = np.abs(found.shifts - np.stack([dy, dx], axis=1)[np.rint(found.rows).astype(int)])
    assert np.median(apart) < 0.2
    assert (note.shift is not None) == steady  # registering accounts for a steady drift


def test_a_registered_pair_is_not_to_be_registered_again(scene):
    time = np.linspace(0, 1, SIDE)
    first, second = pair(scene, -2.5 + time, 2.5 - 3 * time)
    with_map = register_pair(first, second)
    assert with_map[2].affine is not None
    assert check_pair(*with_map[:2], with_map[2].fraction, with_map[2].affine) == []
    first, second = pair(scene, np.full(SIDE, 3.3), np.full(SIDE, -4.6))
    plain = register_pair(first, second)
    assert plain[2].affine is None
    assert check_pair(*plain[:2], plain[2].fraction) == []


def test_a_moving_part_is_no_scan_drift(scene):
    first, second = pair(scene, np.zeros(SIDE), np.zeros(SIDE))
    second[:, 200:] = np.roll(second, 3, axis=0)[:, 200:]
    assert scan_drift(first[None], second[None]) is None
    kinds = {note.kind for note in check_pair(first, second)}
    assert "moved" in kinds and "scan drift" not in kinds
