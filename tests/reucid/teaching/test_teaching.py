"""The classifier is taught by picks, by pairs, and used from its file."""

import json
import pickle
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_lowdose import Reucid, StackStep, denoise, denoise_steps
from napari_lowdose.engine import run_to_end
from napari_lowdose.reucid.classifier import UTILITY_THRESHOLD, load_weights
from napari_lowdose.reucid.classifier_file import read_classifier, write_classifier
from napari_lowdose.reucid.teaching import (
    Decomposed,
    Pick,
    Survey,
    Taught,
    chosen_by_pair,
    decompose_steps,
    teach,
    teach_from_pair,
)
from napari_lowdose.reucid.teaching.fine_tuning import DENSE, _entropy, fine_tune
from napari_lowdose.reucid.teaching.from_pair import error_by_pair
from napari_lowdose.reucid.teaching.replay import FILE, replay
from napari_lowdose.reucid.teaching.survey import lessons_of

pytestmark = pytest.mark.filterwarnings("ignore:neighbouring pixels share their noise")
SIZE = (9, False)
ENGINE = Reucid(patch_size=9, n_stacks=1)


def spots(seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    points = np.zeros((96, 96))
    points[rng.integers(0, 96, 60), rng.integers(0, 96, 60)] = 1
    image = gaussian_filter(points, 2.0)
    return image / image.max()


def blurred(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Truth, and the image with noise that a detector has blurred: it looks like structure."""
    truth = spots(seed)
    noise = gaussian_filter(np.random.default_rng(seed + 100).normal(size=truth.shape), 1.0)
    return truth, truth + 0.2 * noise / noise.std()


def decomposed(image: NDArray[np.float64], name: str) -> Decomposed:
    return run_to_end(decompose_steps(image, name, None, SIZE))


@cache
def survey() -> Survey:
    """A person who knows the truth has picked twice on each of five images."""
    asked = Survey(seed=0)
    for seed in range(5):
        truth, image = blurred(seed)
        of = decomposed(image, f"image {seed}")
        for _ in range(2):
            question = asked.ask(of)
            errors = [np.square(picture - truth).mean() for picture in question.pictures]
            asked.answer(question, int(np.argmin(errors)))
    return asked


@cache
def taught() -> Taught:
    return teach(survey())


def test_it_agrees_more_with_picks_it_has_not_seen() -> None:
    agreement = taught().agreement
    assert agreement is not None and agreement.of == 10
    assert agreement.after >= agreement.before + 4
    assert str(agreement) == (
        f"agrees with {agreement.after} of 10 picks it has not seen, before {agreement.before}"
    )


def test_new_images_of_the_same_kind_are_denoised_better(tmp_path) -> None:
    taught().save(tmp_path / "mine.safetensors")
    mine = replace(ENGINE, classifier=tmp_path / "mine.safetensors")
    gain = []
    for seed in (20, 21, 22):
        truth, image = blurred(seed)
        before, after = (
            np.square(denoise(image, engine) - truth).mean() for engine in (ENGINE, mine)
        )
        gain.append(10 * np.log10(before / after))
    assert np.mean(gain) > 1


def test_it_does_not_forget_the_shipped_data() -> None:
    before, after = taught().record["accuracy_on_shipped_data"]
    assert after > before - 0.03
    held_out = replay("remove", held_out=True)
    assert before == pytest.approx(held_out.accuracy(load_weights("remove")), abs=1e-4)


def test_the_other_network_stays_as_shipped() -> None:
    for name, array in load_weights("keep").items():
        np.testing.assert_array_equal(taught().networks["keep"][name], array)


def test_the_same_picks_give_the_same_weights(monkeypatch) -> None:
    monkeypatch.setattr("napari_lowdose.reucid.teaching.taught.FOLDS", 1)  # quicker
    again = teach(survey())
    for name, array in taught().networks["remove"].items():
        np.testing.assert_array_equal(again.networks["remove"][name], array)


def test_without_lessons_nothing_changes() -> None:
    shipped = load_weights("remove")
    same = run_to_end(fine_tune(shipped, [], replay("remove").seen[:, :200]))
    for name, array in shipped.items():
        np.testing.assert_allclose(same[name], array, atol=1e-6)


def test_the_gradient_is_that_of_the_loss() -> None:
    rng = np.random.default_rng(0)
    dense = np.concatenate([load_weights("keep")[name].ravel() for name in DENSE]).astype(float)
    seen = rng.normal(size=(2, 9, 16)).astype(np.float32)
    utilities, weights = rng.uniform(size=(2, 9))
    _, gradient = _entropy(dense, seen, utilities, weights)
    for at in rng.integers(0, len(dense), 12):
        step = np.zeros_like(dense)
        step[at] = 1e-5
        up, down = (_entropy(dense + s, seen, utilities, weights)[0] for s in (step, -step))
        assert gradient[at] == pytest.approx((up - down) / 2e-5, abs=1e-7)


def test_the_replay_set_is_of_the_shipped_classifier_and_small() -> None:
    from importlib.resources import files

    import napari_lowdose.reucid.teaching as package

    assert len(files(package).joinpath(FILE).read_bytes()) < 1e6
    for network in ("remove", "keep"):
        # Far from 0.5: with other weights, the features would mean nothing.
        assert replay(network, held_out=True).accuracy(load_weights(network)) > 0.75


# ---------------------------------------------------------------------- the survey


def test_picks_give_the_utilities() -> None:
    image = decomposed(blurred(0)[1], "image")
    picks = [
        Pick("image", (2, 8, 16), 8),
        Pick("image", (5, 7, 10), 5),
        Pick("image", (1, 2), None),
    ]
    (lesson,) = lessons_of(picks, {"image": image})
    # Between 4, the middle of 2 and 8, and 5.9, that of 5 and 7
    np.testing.assert_array_equal(lesson.utilities > UTILITY_THRESHOLD, np.arange(25) < 5)
    assert lesson.utilities[0] == pytest.approx(1) and lesson.utilities[-1] < 0.05
    assert (np.diff(lesson.utilities) < 1e-12).all()


def test_questions_close_in_on_the_best_number() -> None:
    for best in (1, 3, 9, 24):
        asked = Survey(seed=best)
        of = decomposed(blurred(0)[1], "image")
        for _ in range(3):
            question = asked.ask(of)
            away = np.abs(np.log(np.array(question.counts) / best))
            asked.answer(question, int(away.argmin()))
        (lesson,) = lessons_of(asked.picks, asked.images)
        found = int((lesson.utilities > UTILITY_THRESHOLD).sum())
        assert abs(np.log2(found / best)) < 0.5


def test_the_picture_most_like_another_choice() -> None:
    pick = Pick("image", (2, 4, 8), 4)
    values = np.linspace(2, 1, 10)
    assert [pick.nearest(np.arange(10) < n, values) for n in (1, 4, 5, 10)] == [2, 4, 4, 8]


def test_pictures_are_reconstructions_in_random_order() -> None:
    image = blurred(1)[1]
    asked = Survey(seed=3)
    of = decomposed(image, "image")
    question = asked.ask(of, (slice(10, 50), slice(0, 60)))
    assert len(set(question.counts)) == 3
    for count, picture in zip(question.counts, question.pictures, strict=True):
        expected = denoise(image, replace(ENGINE, keep=count))[10:50, :60]
        np.testing.assert_allclose(picture, expected, atol=1e-5)
    orders = {tuple(np.argsort(asked.ask(of).counts)) for _ in range(20)}
    assert len(orders) > 3
    asked.answer(question, 2)
    asked.answer(question, None)
    assert [pick.best for pick in asked.picks] == [question.counts[2], None]
    undone = asked.undo()
    assert undone is not None and undone.best is None
    assert [pick.best for pick in asked.picks] == [question.counts[2]]


def test_nothing_picked_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="nothing was picked yet"):
        teach(Survey())


# ------------------------------------------------------------------------- the pairs


def white(seed: int, sigma: float = 0.2) -> tuple[NDArray[np.float64], ...]:
    truth = spots(seed)
    first, second = truth + sigma * np.random.default_rng(seed).normal(size=(2, *truth.shape))
    return truth, first, second


def test_the_second_exposure_measures_the_error_of_every_choice() -> None:
    truth, first, second = white(0)
    of = decomposed(first, "first")
    error = error_by_pair(first, second, of.scanned).whole
    known = error_by_pair(first, truth, of.scanned).whole
    power = float(np.var(first))
    changes = []
    for n in (1, 3, 8, 25):
        kept = np.arange(25) < n
        result = of.reconstruct(n)
        direct = np.square(result - result.mean() - truth + truth.mean()).mean()
        assert known(kept) * power == pytest.approx(direct, rel=0.03)
        changes.append((error(kept) - known(kept)) * power)
    # The noise of the second exposure adds the same to all
    assert np.ptp(changes) < 0.05 * np.mean(changes)
    assert np.mean(changes) == pytest.approx(0.2**2, rel=0.1)


def test_a_pair_chooses_as_well_as_the_classifier() -> None:
    gain = []
    for seed in range(3):
        truth, first, second = white(seed)
        mean = (first + second) / 2
        by_pair = denoise(mean, chosen_by_pair(first, second, ENGINE))
        by_cnn = denoise(mean, ENGINE)
        errors = [np.square(each - truth).mean() for each in (by_cnn, by_pair)]
        gain.append(10 * np.log10(errors[0] / errors[1]))
    assert np.mean(gain) > -0.3


def test_pairs_teach_without_a_person(tmp_path) -> None:
    truths, images = zip(*(blurred(seed) for seed in range(4)), strict=True)
    others = [2 * t - i for t, i in zip(truths, [blurred(s)[1] for s in range(4)], strict=True)]
    rolled = [t + np.roll(o - t, 40, axis=0) for t, o in zip(truths, others, strict=True)]
    learnt = teach_from_pair(np.array(images), np.array(rolled), ENGINE)
    assert learnt.agreement is not None and "pairs" in str(learnt.agreement)
    assert learnt.agreement.after > learnt.agreement.before
    learnt.save(tmp_path / "pairs.safetensors")
    truth, image = blurred(30)
    mine = replace(ENGINE, classifier=str(tmp_path / "pairs.safetensors"))
    before, after = (np.square(denoise(image, each) - truth).mean() for each in (ENGINE, mine))
    assert after < before


def test_exposures_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shapes \(96, 96\) and \(90, 96\): align"):
        teach_from_pair(spots(0), spots(0)[:90])


# -------------------------------------------------------------------------- the file


def test_the_file_says_what_it_was_taught_on(tmp_path) -> None:
    path = tmp_path / "mine.safetensors"
    taught().save(path)
    networks, record = read_classifier(path)
    for name, array in taught().networks["remove"].items():
        np.testing.assert_array_equal(networks["remove"][name], array)
    assert record["n_picks"] == 10
    assert record["images"] == [f"image {seed}" for seed in range(5)]
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_used_in_every_kind_of_run(tmp_path) -> None:
    path = tmp_path / "all.safetensors"
    everything = {n: {k: v.copy() for k, v in load_weights(n).items()} for n in ("remove", "keep")}
    for weights in everything.values():
        weights["out.bias"] += 100  # keeps everything
    write_classifier(path, everything, {})
    image = white(0)[1]
    for engine in (ENGINE, replace(ENGINE, n_stacks=2), replace(ENGINE, scan_noise="columns")):
        with pytest.warns(UserWarning, match="all 25 eigenpatches look useful"):
            steps = list(denoise_steps(image, replace(engine, classifier=path)))
        assert all(s.kept.all() for s in steps if isinstance(s, StackStep))
    used = replace(ENGINE, classifier=path)
    assert used.classifier == str(path)
    assert json.loads(json.dumps(used.about()))["parameters"]["classifier"] == str(path)
    assert pickle.loads(pickle.dumps(used)) == used
    # Saved again under the same name, it is read again
    write_classifier(path, {n: load_weights(n) for n in everything}, {"n": "another length"})
    np.testing.assert_array_equal(denoise(image, used), denoise(image, ENGINE))


def wrong_shape(path):
    weights = {n: dict(load_weights(n)) for n in ("remove", "keep")}
    weights["keep"]["fc3.bias"] = np.zeros(3, np.float32)
    write_classifier(path, weights, {})


def not_finite(path):
    weights = {n: dict(load_weights(n)) for n in ("remove", "keep")}
    weights["keep"]["fc3.bias"] = np.full(16, np.nan, np.float32)
    write_classifier(path, weights, {})


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"II*\0 this is a TIFF"),
        lambda path: path.write_bytes(bytes(2**20 + 1)),
        wrong_shape,
        not_finite,
    ],
)
def test_bad_files_are_one_clear_sentence(make, tmp_path) -> None:
    path = tmp_path / "bad.safetensors"
    make(path)
    with pytest.raises(ValueError, match=r"bad.safetensors is not a classifier of eigenpatches"):
        denoise(white(0)[1], replace(ENGINE, classifier=path))


def test_missing_files_and_wrong_types() -> None:
    with pytest.raises(FileNotFoundError, match="not there"):
        denoise(white(0)[1], replace(ENGINE, classifier="not there.safetensors"))
    with pytest.raises(ValueError, match="classifier is the path of a file, or None, not 3"):
        Reucid(classifier=3)  # type: ignore[arg-type]
