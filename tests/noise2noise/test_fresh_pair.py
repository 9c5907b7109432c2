import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from napari_lowdose.noise2noise.evaluation.fresh_pair import FreshPair


def scene(n=256):
    y, x = np.indices((n, n))
    return 60 + 25 * np.sin(x / 7) * np.cos(y / 9) + 20 * np.sin((x + y) / 12)


def db(noisy, clean, truth):
    return 10 * np.log10(np.mean((noisy - truth) ** 2) / np.mean((clean - truth) ** 2))


@pytest.mark.parametrize("moved", [(0.0, 0.0), (0.4, -0.3)])
@pytest.mark.parametrize("use", ["first", "both"])
def test_the_gain_of_a_filter_is_within_the_interval(moved, use):
    truth = scene()
    rng = np.random.default_rng(1)
    first = rng.poisson(truth)
    second = rng.poisson(shift(truth, moved, order=5, mode="nearest"))
    smooth = [gaussian_filter(image.astype(float), 1.5) for image in (first, second)]
    result = smooth[0]
    if use == "both":
        result = (smooth[0] + shift(smooth[1], np.negative(moved), mode="nearest")) / 2
    inner = (slice(8, -8), slice(8, -8))
    gain = db(first[inner], result[inner], truth[inner])
    found = FreshPair(first, second, moved, use).gain(*smooth)
    assert found.low - 0.3 < gain < found.high + 0.3
    assert found.high - found.low < 2


def test_a_different_lamp_and_a_cosmic_ray_do_not_matter():
    truth = scene()
    rng = np.random.default_rng(2)
    first, second = rng.poisson(truth), rng.poisson(0.9 * truth) + 40
    smooth = [gaussian_filter(image.astype(float), 1.5) for image in (first, second)]
    gain = db(first, smooth[0], truth)
    first[20, 20] = 60000
    found = FreshPair(first, second, use="first").gain(*smooth)
    assert found.low - 0.3 < gain < found.high + 0.3


def test_a_small_difference_between_methods_is_seen():
    truth = scene()
    rng = np.random.default_rng(3)
    first, second = rng.poisson(truth), rng.poisson(truth)
    pair = FreshPair(first, second, use="first")
    results = {
        width: [gaussian_filter(image.astype(float), width) for image in (first, second)]
        for width in (1.5, 1.55)
    }
    gains = {width: db(first, each[0], truth) for width, each in results.items()}
    told = {width: pair.gain(*each).low for width, each in results.items()}
    assert 0.1 < gains[1.55] - gains[1.5] < 0.3
    assert told[1.55] - told[1.5] == pytest.approx(gains[1.55] - gains[1.5], abs=0.1)
