"""The pairs of one movie."""

import dask.array as da
import numpy as np
import pytest

from napari_lowdose import MoviePairs, Noise2Noise, Run, denoise, movie_pairs
from napari_lowdose.script import as_python


def movie(n=6, size=64, seed=0):
    y, x = np.mgrid[:size, :size]
    scene = 8 * (0.3 + (np.cos(y / 2.3) * np.cos(x / 3.1)) ** 2)
    return scene, np.random.default_rng(seed).poisson(scene, (n, size, size)).astype(np.uint16)


@pytest.mark.parametrize("lazy", [False, True])
def test_each_frame_and_the_next_or_even_against_odd(lazy):
    _, frames = movie(7)
    given = da.from_array(frames, chunks=(1, 64, 64)) if lazy else frames
    first, second = movie_pairs(given)
    np.testing.assert_array_equal(first, frames[:-1])
    np.testing.assert_array_equal(second, frames[1:])
    first, second = movie_pairs(given, "even-odd")
    np.testing.assert_array_equal(first, frames[[0, 2, 4]])
    np.testing.assert_array_equal(second, frames[[1, 3, 5]])
    assert lazy == isinstance(first, da.Array)
    assert lazy or np.shares_memory(first, frames)  # no copy of a long movie


def test_frames_recorded_twice_are_no_pair():
    _, frames = movie(3)
    twice = np.repeat(frames, 2, axis=0)
    twice = np.concatenate([twice, np.zeros_like(frames[:1])])
    with pytest.warns(UserWarning, match=r"frames 2, 4 and 6 of 7 \(the same as an earlier"):
        first, second = movie_pairs(twice)
    np.testing.assert_array_equal(first, frames[:-1])
    np.testing.assert_array_equal(second, frames[1:])


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (np.ones((64, 64)), "two or more frames"),
        (np.ones((1, 64, 64)), "two or more frames"),
        (np.zeros((3, 64, 64)), r"fewer than two frames .* 3 of 3 \(black or constant"),
    ],
)
@pytest.mark.filterwarnings("ignore:Left out")
def test_what_has_no_pairs(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        movie_pairs(given)


def test_how_the_pairs_are_made_is_checked():
    with pytest.raises(ValueError, match="'neighbours', 'even-odd', not 'odd'"):
        MoviePairs(pairs="odd")


def test_the_gain_that_is_told_is_that_of_a_frame():
    scene, frames = movie(4)
    training = Noise2Noise(epochs=16, width=8, crop_size=64, batch_size=2, fallback=False)
    engine = MoviePairs(training, "even-odd")
    run = Run(frames, engine)
    for _ in run:
        pass
    gain = 10 * np.log10(np.mean((frames - scene) ** 2) / np.mean((run.image - scene) ** 2))
    low, high = run.model.record["gain_db"]
    assert gain > 3 and low - 1 < gain < (high or np.inf) + 1
    assert run.model.use == "both"  # for pairs that it may be applied to
    np.testing.assert_array_equal(denoise(frames, run.model), run.image)
    script = as_python(engine, "movie.tif", trained=run.model)
    made = {}
    exec(script.replace("tifffile.imread('movie.tif')", "frames"), {"frames": frames}, made)
    np.testing.assert_array_equal(made["clean"], run.image)
    assert run.record()["parameters"]["epochs"] == 16
