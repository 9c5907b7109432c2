"""Tiles cover a frame exactly once, with enough overlap."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter

from napari_lowdose.noise2noise.prediction import tiles

frames = st.tuples(st.integers(1, 70), st.integers(1, 70))


@settings(max_examples=100, deadline=None)
@given(
    shape=frames, side=st.integers(1, 90), overlap=st.integers(0, 20), multiple=st.integers(1, 9)
)
def test_tiles_reassemble_the_frame(
    shape: tuple[int, int], side: int, overlap: int, multiple: int
) -> None:
    frame = np.arange(shape[0] * shape[1]).reshape(shape)
    together = np.full(shape, -1)
    written = np.zeros(shape, int)
    for tile in tiles(shape, side, overlap, multiple):
        together[tile.write] = frame[tile.read][tile.inner]
        written[tile.write] += 1
    assert (written == 1).all()
    assert (together == frame).all()


@settings(max_examples=100, deadline=None)
@given(
    shape=frames, side=st.integers(1, 90), overlap=st.integers(0, 20), multiple=st.integers(1, 9)
)
def test_tile_overlap_grid_and_size(
    shape: tuple[int, int], side: int, overlap: int, multiple: int
) -> None:
    for tile in tiles(shape, side, overlap, multiple):
        for read, write, length in zip(tile.read, tile.write, shape, strict=True):
            assert 0 <= read.start <= write.start < write.stop <= read.stop <= length
            # No more is written than was asked for, or at least a multiple
            assert write.stop - write.start <= max(side, multiple)
            # All around is read, as far as there is any
            assert read.start == 0 or write.start - read.start >= overlap
            assert read.stop == length or read.stop - write.stop >= overlap
            # A network that halves the image sees the same grid in every tile
            assert read.start % multiple == write.start % multiple == 0
            assert read.stop % multiple == 0 or read.stop == length


def test_filter_has_no_seams() -> None:
    frame = np.random.default_rng(0).normal(size=(61, 83))
    filtered = np.empty_like(frame)
    for tile in tiles(frame.shape, side=16, overlap=3):
        filtered[tile.write] = uniform_filter(frame[tile.read], 7)[tile.inner]
    np.testing.assert_allclose(filtered, uniform_filter(frame, 7), atol=1e-12)
    # One pixel less, and it does
    for tile in tiles(frame.shape, side=16, overlap=2):
        filtered[tile.write] = uniform_filter(frame[tile.read], 7)[tile.inner]
    assert np.abs(filtered - uniform_filter(frame, 7)).max() > 0.01


def test_small_frame_is_one_tile() -> None:
    (only,) = tiles((40, 56), side=64, overlap=8, multiple=8)
    assert only.read == only.write == only.inner == (slice(0, 40), slice(0, 56))
