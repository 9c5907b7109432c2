"""Detection and replacement of outliers, and detection of the image area."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_lowdose.imaging.centred import centred
from napari_lowdose.imaging.image_area import image_area
from napari_lowdose.imaging.outliers import find_outliers, replace_outliers

Y, X = np.mgrid[:256, :256]
ATOMS = np.exp(3 * (np.cos(Y / 2) + np.cos(X / 2) - 2))


def counted(mean: float, scene: NDArray[np.floating] = ATOMS, seed: int = 0) -> NDArray[np.uint16]:
    rng = np.random.default_rng(seed)
    return rng.poisson(scene * (mean / scene.mean())).astype(np.uint16)


def some(share: float, seed: int = 1) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random((256, 256)) < share


@pytest.mark.parametrize("mean", [1e-4, 1e-3, 0.01, 0.1, 1, 10, 1000, 1e5])
def test_noise_has_no_outliers(mean: float) -> None:
    """In particular, the single counts of a sparse exposure are not outliers."""
    flat = np.random.default_rng(0).poisson(mean, (512, 512))
    assert not find_outliers(flat).any()
    assert not find_outliers(0.37 * flat).any()


@pytest.mark.parametrize("mean", [0.05, 1, 20, 1000])
def test_atoms_and_gaussian_noise_have_no_outliers(mean: float) -> None:
    assert not find_outliers(counted(mean)).any()
    noisy = ATOMS + np.random.default_rng(0).normal(0, 0.3, ATOMS.shape)
    assert not find_outliers(noisy).any()
    assert not find_outliers(ATOMS).any()


@pytest.mark.parametrize("fwhm", [2.0, 3.0, 6.0])
def test_single_bright_bead_is_not_an_outlier(fwhm: float) -> None:
    """Independent of the subpixel position of its centre."""
    rng = np.random.default_rng(0)
    scene = np.full((256, 256), 5.0)
    for y, x in (rng.uniform(20, 236, 2) for _ in range(12)):
        scene += 2000 * np.exp(-((Y - y) ** 2 + (X - x) ** 2) * 4 * np.log(2) / fwhm**2)
    assert not find_outliers(rng.poisson(scene)).any()


@pytest.mark.parametrize("value", [4000, 65535])
def test_areas_and_lines_are_not_outliers(value: int) -> None:
    frame = counted(10)
    frame[np.hypot(Y - 60, X - 60) < 30] = value
    frame[np.hypot(Y - 150, X - 60) < 2.5] = value
    frame[200:202, 100:102] = value
    frame[100:140, 180] = value
    frame[np.arange(150, 200), np.arange(150, 200)] = value
    frame[230] = value
    assert not find_outliers(frame).any()


@pytest.mark.parametrize("mean", [0.01, 1, 10, 1000])
@pytest.mark.parametrize("share", [0, 1e-3, 5e-3])
def test_hot_pixels_are_found(mean: float, share: float) -> None:
    """Independent of their number, as they must not mask each other."""
    frame, hot = counted(mean), some(share)
    hot[100, 120] = True
    frame[hot] = 65535
    found = find_outliers(frame)
    assert not (found & ~hot).any()
    assert found.sum() >= 0.98 * hot.sum()


@pytest.mark.parametrize("dtype", ["u1", ">u2", "i4", "i8", "u8", "f2", "f4", "f8", "longdouble"])
def test_hot_pixels_are_found_in_any_dtype(dtype: str) -> None:
    frame, hot = counted(5, np.ones((256, 256))).astype(dtype), some(1e-3)
    frame[hot] = 200
    assert np.array_equal(find_outliers(frame), hot)
    assert replace_outliers(frame, hot).dtype == frame.dtype


def test_faint_hot_pixels_are_found() -> None:
    frame, hot = counted(20, np.ones((256, 256))), some(1e-3)
    frame[hot] *= 10
    assert np.array_equal(find_outliers(frame), hot)


def test_dead_pixels_are_found() -> None:
    frame, dead = counted(1000, 1 + 0.3 * np.sin(X / 5)), some(1e-3)
    frame[dead] = 0
    assert np.array_equal(find_outliers(frame), dead)


@pytest.mark.parametrize("corner", [(0, 0), (0, 255), (255, 100), (60, 0)])
def test_outliers_at_the_edge_are_found(corner: tuple[int, int]) -> None:
    frame = counted(10)
    frame[corner] = 65535
    assert np.argwhere(find_outliers(frame)).tolist() == [list(corner)]


def test_neighbouring_hot_pixels_and_tracks_are_found() -> None:
    frame, hot = counted(10), np.zeros((256, 256), bool)
    hot[40, 50:52] = hot[80:82, 90] = hot[120, [100, 102]] = True
    hot[range(150, 155), range(60, 65)] = True  # a cosmic ray's track
    hot[200, 200:204] = hot[201, 203] = True
    frame[hot] = np.where(some(0.5)[hot], 4095, 60000)
    assert np.array_equal(find_outliers(frame), hot)


@pytest.mark.parametrize("factor", [1e-20, 1e-9, 1e18])
def test_result_does_not_depend_on_units(factor: float) -> None:
    frame = counted(10).astype(float)
    frame[100, 120] = 4095
    for image in (frame * factor, 1e3 * factor - frame * factor):
        assert np.argwhere(find_outliers(image)).tolist() == [[100, 120]]


def test_result_does_not_depend_on_large_offsets() -> None:
    frame = counted(10).astype(np.int64)
    frame[100, 120] = 4095
    for offset in (2**60, -(2**60)):
        assert np.argwhere(find_outliers(frame + offset)).tolist() == [[100, 120]]
        difference = centred(frame + offset)[1]
        assert np.ptp(difference) == np.ptp(frame)


def test_outliers_are_replaced_by_the_median_of_neighbours() -> None:
    frame = counted(1000, 1 + 0.3 * np.sin(X / 5))
    hot = some(2e-3)
    hot[40:42, 50:53] = True
    hot[0, :2] = True
    spoilt = frame.copy()
    spoilt[hot] = 65535
    mended = replace_outliers(spoilt, hot)
    assert mended.dtype == frame.dtype
    assert np.array_equal(mended[~hot], frame[~hot])
    assert np.abs(mended[hot].astype(float) - frame[hot]).max() < 250
    assert replace_outliers(frame, np.zeros_like(hot)) is frame


def test_large_integers_are_replaced_exactly() -> None:
    frame = np.full((9, 9), 2**60 + 1)
    frame[4, 4] = 0
    assert replace_outliers(frame, frame == 0)[4, 4] == 2**60 + 1


def info_bar(height: int, background: int) -> NDArray[np.uint8]:
    """Return an info bar with patterns like letters and a scale bar."""
    bar = np.full((height, 256), background, np.uint8)
    letters = np.random.default_rng(0).random((height // 2, 120)) < 0.4
    bar[height // 4 : height // 4 + height // 2, 5:125][letters] = 255 - background
    bar[height // 2 : height // 2 + 2, 150:240] = 255 - background
    return bar


@pytest.mark.parametrize("background", [0, 255])
@pytest.mark.parametrize("below", [True, False])
def test_info_bar_is_excluded(background: int, below: bool) -> None:
    scene = 120 + 40 * np.sin(Y[:220] / 20) + np.random.default_rng(0).normal(0, 15, (220, 256))
    image, bar = scene.clip(0, 255).astype(np.uint8), info_bar(36, background)
    frame = np.vstack([image, bar] if below else [bar, image])
    rows, columns = image_area(frame)
    assert np.array_equal(frame[rows, columns], image)
    rows, columns = image_area(np.pad(frame, 3))  # with a border around the frame
    assert np.array_equal(np.pad(frame, 3)[rows, columns], image)


@pytest.mark.parametrize("value", [0, 7, 60000])
def test_padding_is_excluded(value: int) -> None:
    frame = np.pad(counted(10), ((40, 0), (12, 3)), constant_values=value)
    assert image_area(frame) == (slice(40, 296), slice(12, 268))


@pytest.mark.parametrize("mean", [1e-3, 0.003, 0.01, 0.1, 10])
def test_whole_scene_is_kept(mean: float) -> None:
    """Including rows without counts by chance, and the vacuum around a particle."""
    whole = (slice(0, 256), slice(0, 256))
    particle = gaussian_filter((np.hypot(Y - 120, X - 130) < 70).astype(float), 2) + 1e-4
    for seed in range(3):
        assert image_area(counted(mean, np.ones((256, 256)), seed)) == whole
        assert image_area(counted(mean, particle, seed)) == whole


def test_frame_without_scene_is_kept_whole() -> None:
    assert image_area(np.zeros((64, 64))) == (slice(0, 64), slice(0, 64))
