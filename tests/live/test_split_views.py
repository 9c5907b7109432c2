import numpy as np
import pytest

from napari_lowdose import LiveRun, Reucid, SplitViews, denoise_live, samples, split_frame
from napari_lowdose.engine import Engine, Step
from napari_lowdose.samples.beamsplitter import Beamsplitter


class AsIt(Engine):
    """Return each view as it is, to see what `SplitViews` does with it."""

    title = "as it is"

    def frame_steps(self, frame):
        yield Step(fraction=1.0, message="done", image=frame.astype(np.float32))


@pytest.fixture(scope="module")
def movie():
    return samples.beamsplitter_movie(n_frames=4)


@pytest.fixture(scope="module")
def layout(movie):
    return split_frame(movie[0])[2]


@pytest.mark.parametrize(("engine", "share"), [(AsIt(), 0.65), (Reucid(patch_size=9), 0.98)])
def test_the_mean_of_both_views_has_the_place_and_units_of_the_first_and_less_error(
    movie, layout, engine, share
):
    frames, truth = movie
    views = SplitViews(engine, layout)
    single = denoise_live((layout.split(frame)[0] for frame in frames), engine)
    run = LiveRun(frames, views, newest=False)
    y, x = run.origin
    for step, one, true in zip(run, single, truth, strict=True):
        height, width = step.image.shape
        true = true[y : y + height, x : x + width]
        both, first = (np.mean((i - true)[8:-8, 8:-8] ** 2) for i in (step.image, one.image))
        assert both < share * first
        assert step.image.mean() == pytest.approx(float(true.mean()), rel=0.01)


@pytest.mark.parametrize("mirrored", [False, True])
def test_both_views_agree_to_a_fraction_of_a_pixel(mirrored):
    splitter = Beamsplitter(shift=(1.4, -2.6), read_noise=0.0)
    frame, truth = samples.beamsplitter_frame(photons=50, splitter=splitter)
    if mirrored:
        y0, y1, x0, x1 = splitter.regions((320, 320))[1]
        for image in (frame, truth):
            image[y0:y1, x0:x1] = image[y0:y1, x0:x1][:, ::-1].copy()
    views = SplitViews(AsIt(), split_frame(frame)[2])
    (step,) = denoise_live([truth], views)  # the scene alone, so that only the registration counts
    first = views.layout.split(truth)[0]
    difference = (step.image - first)[8:-8, 8:-8]
    assert np.abs(difference).max() < 0.05 * np.ptp(first)
    assert np.sqrt(np.mean(difference**2)) < 0.005 * np.ptp(first)


def test_frames_of_another_size_are_refused_and_the_next_one_is_fine(movie, layout):
    frames = [movie[0][0, :100], movie[0][0]]
    wrong, right = denoise_live(frames, SplitViews(AsIt(), layout))
    assert wrong.image is None
    assert "measure their layout with split_frame" in wrong.message
    assert right.image is not None and not right.message


def test_a_closed_shutter_gives_the_first_view(movie, layout):
    dark = np.full_like(movie[0][0], 100)
    (step,) = denoise_live([dark], SplitViews(Reucid(), layout))
    assert "is the shutter closed?" in step.message
    np.testing.assert_array_equal(step.image, layout.split(dark)[0])


def test_an_engine_for_pairs_is_refused(layout):
    from napari_lowdose import Noise2Noise

    with pytest.raises(ValueError, match="each view of a beamsplitter is denoised by itself"):
        SplitViews(Noise2Noise(), layout)
