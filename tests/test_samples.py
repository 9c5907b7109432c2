"""The sample image: reproducible, at the dose or the PSNR asked for."""

from __future__ import annotations

import numpy as np
import pytest

from napari_lowdose.samples import PIXEL_SIZE, defects, stem_low_dose


def psnr(truth: np.ndarray, noisy: np.ndarray) -> float:
    return float(10 * np.log10(float(truth.max()) ** 2 / np.mean((noisy - truth) ** 2)))


@pytest.mark.parametrize("wanted", [9, 13, 16, 22])
def test_the_psnr_is_the_one_asked_for(wanted: float) -> None:
    noisy, truth = stem_low_dose(psnr_db=wanted)
    assert psnr(truth, noisy) == pytest.approx(wanted, abs=0.2)


def test_electrons_grow_with_the_dose_and_the_seed_draws_them() -> None:
    noisy, truth = stem_low_dose(dose=1000)
    assert noisy.dtype == truth.dtype == np.float32
    assert noisy.mean() == pytest.approx(truth.mean(), rel=0.05)
    np.testing.assert_allclose(stem_low_dose(dose=3000)[1], 3 * truth, rtol=1e-5)
    np.testing.assert_array_equal(stem_low_dose(dose=1000)[0], noisy)
    assert (stem_low_dose(dose=1000, seed=1)[0] != noisy).any()


def test_what_is_given_may_be_changed_by_its_owner() -> None:
    truth = stem_low_dose()[1]
    expected = truth.copy()
    truth[:] = 0
    np.testing.assert_array_equal(stem_low_dose()[1], expected)


def test_defects_are_where_the_image_shows_them() -> None:
    truth = stem_low_dose()[1]
    brightest = sorted(defects(), key=lambda d: truth[round(d.row), round(d.col)])
    assert {d.kind for d in brightest[-4:]} == {"W on Mo"}
    vacancies = [d for d in defects() if d.kind in ("vacancy S2", "vacancy Mo")]
    around = round(0.5 / PIXEL_SIZE)
    for d in vacancies:
        row, col = round(d.row), round(d.col)
        site = truth[row - around : row + around + 1, col - around : col + around + 1]
        assert site.max() < 0.2 * np.percentile(truth, 99)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"psnr_db": 27}, "readout noise"),
        ({"dose": 0}, "positive"),
        ({"dose": np.nan}, "positive"),
    ],
)
def test_impossible_wishes_are_refused(wrong: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        stem_low_dose(**wrong)
