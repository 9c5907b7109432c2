import dask.array as da
import numpy as np
import pytest
from scipy.ndimage import shift

from benchmarks.scenes import lattice
from napari_lowdose import Reucid, denoise, denoise_to_zarr

PEAK = 6.0  # electrons


@pytest.fixture(scope="module")
def drifting():
    """A lattice that drifts by a fraction of a pixel per frame, and its truth."""
    scene = 0.2 + lattice(sigma=2.2, pitch=11.3, shape=(160, 160))
    truth = PEAK * np.stack([shift(scene, (1.3 * t, 0.7 * t))[24:-24, 24:-24] for t in range(5)])
    return np.random.default_rng(0).poisson(truth), truth


def engine(n: int) -> Reucid:
    return Reucid(patch_size=13, stacks="alike", frames_together=n)


def error(image: np.ndarray, truth: np.ndarray) -> float:
    return float(10 * np.log10(np.mean((image - truth) ** 2)))


def test_a_drifting_lattice_gains(drifting):
    movie, truth = drifting
    alone, together = (denoise(movie, engine(n)) for n in (1, 5))
    gains = [error(a, t) - error(b, t) for a, b, t in zip(alone, together, truth, strict=True)]
    assert np.mean(gains) > 0.3
    assert min(gains) > -0.2  # the first and the last frame, too


def test_a_moving_particle_leaves_no_ghost():
    y, x = np.mgrid[:96, :96]
    truth = np.stack([2 + 6.0 * (np.hypot(y - 48, x - 20 - 14 * t) < 6) for t in range(5)])
    movie = np.random.default_rng(1).poisson(truth)
    alone, together = (denoise(movie, engine(n)) for n in (1, 5))
    places = np.stack([truth[t] > 4 for t in range(5)])
    for t in range(5):
        elsewhere = np.any(np.delete(places, t, 0), axis=0) & ~places[t]
        ghost = abs(together[t][elsewhere].mean() - 2)
        assert ghost < abs(alone[t][elsewhere].mean() - 2) + 0.05
        assert together[t][places[t]].mean() > 0.9 * alone[t][places[t]].mean()


def test_a_cut_to_another_scene_costs_nothing():
    y, x = np.mgrid[:112, :112]
    rings = 3 + 2 * np.cos(np.hypot(y - 50, x - 60) / 2)
    spots = PEAK * lattice(sigma=2.2, pitch=11.3, shape=(112, 112))
    truth = np.stack([rings, rings, spots, spots])
    movie = np.random.default_rng(5).poisson(truth)
    alone, together = (denoise(movie, engine(n)) for n in (1, 3))
    for t in (1, 2):
        assert error(together[t], truth[t]) < error(alone[t], truth[t]) + 0.3


def test_all_ways_give_the_same(drifting, tmp_path):
    movie = drifting[0][:3, :64, :64]
    wanted = denoise(movie, engine(3))
    lazy = denoise(da.from_array(movie, chunks=(1, 64, 64)), engine(3))
    np.testing.assert_array_equal(lazy.compute(scheduler="sync"), wanted)
    np.testing.assert_array_equal(denoise_to_zarr(movie, engine(3), tmp_path / "a.zarr"), wanted)


def test_a_lazy_frame_reads_its_neighbours_only(drifting):
    movie, _ = drifting
    read = []

    def frame(block_id):
        read.append(block_id[0])
        return movie[block_id[0]][None, :64, :64]

    source = da.map_blocks(
        frame, chunks=((1,) * 5, (64,), (64,)), dtype=movie.dtype, meta=np.empty((0, 0, 0), int)
    )
    clean = denoise(source, Reucid(patch_size=9, stacks="alike", frames_together=3))
    read.clear()
    clean[3].compute(scheduler="sync")
    assert sorted(read) == [2, 3, 4]


def test_a_closed_shutter_is_not_a_neighbour(drifting):
    movie = drifting[0][:3].copy()
    movie[1] = 0
    with pytest.warns(UserWarning, match="constant"):
        together = denoise(movie, engine(3))
    assert np.isfinite(together).all()


def test_bleaching_does_not_divide_the_groups(drifting):
    _, truth = drifting
    fading = 0.95 ** np.arange(5)[:, None, None]
    faded = np.random.default_rng(3).poisson(truth * fading)
    alone, together = (denoise(faded, engine(n))[2] for n in (1, 5))
    wanted = (truth * fading)[2]
    assert error(together, wanted) < error(alone, wanted) - 0.2
    assert together.mean() == pytest.approx(faded[2].mean(), rel=0.01)


def test_a_changed_neighbour_is_a_changed_input(drifting, tmp_path):
    movie = drifting[0][:3, :64, :64].copy()
    denoise_to_zarr(movie, engine(3), tmp_path / "a.zarr")
    movie[1] += 1
    with pytest.raises(ValueError, match=r"other|another"):
        denoise_to_zarr(movie, engine(3), tmp_path / "a.zarr")


def test_several_frames_need_alike_stacks():
    with pytest.raises(ValueError, match="stacks='alike'"):
        Reucid(frames_together=3)


def test_a_single_image_is_denoised_by_itself(drifting):
    image = drifting[0][0, :64, :64]
    np.testing.assert_array_equal(denoise(image, engine(5)), denoise(image, engine(1)))
