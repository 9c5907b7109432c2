"""The specimens: read on any grid, in the right kinds, with honest atomic models."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from training import light, specimens
from training.specimens import LIGHT, SPECIMENS, STEM, Scan, specimen

if TYPE_CHECKING:
    from pathlib import Path

EXTENT = (4.0, 6.0)  # angstrom


@pytest.fixture(scope="module")
def scan() -> Scan:
    """Return a coarse scan of a band-limited periodic pattern that is known everywhere."""
    x, y = np.indices((16, 24)) / np.array([16, 24])[:, None, None]
    return Scan(pattern(x * EXTENT[0], y * EXTENT[1]).astype(np.float32), EXTENT)


def pattern(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 2 + np.cos(4 * np.pi * x / EXTENT[0]) * np.cos(2 * np.pi * y / EXTENT[1])


def test_a_scan_is_read_exactly_between_its_points(scan: Scan) -> None:
    image = scan.read(0.13, (50, 70), rotation=20, origin=(0.3, 1.1), source_size=0)
    row, column = np.indices(image.shape) * 0.13
    angle = np.deg2rad(20)
    x = 0.3 + np.cos(angle) * column - np.sin(angle) * row
    y = 1.1 + np.sin(angle) * column + np.cos(angle) * row
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, pattern(x, y), atol=2e-4)


def test_the_source_blurs_as_a_gaussian_does(scan: Scan) -> None:
    sharp = scan.read(0.1, (60, 40), source_size=0) - 2
    blurred = scan.read(0.1, (60, 40), source_size=0.4) - 2
    damping = np.exp(-2 * (np.pi * 0.4) ** 2 * ((2 / EXTENT[0]) ** 2 + (1 / EXTENT[1]) ** 2))
    np.testing.assert_allclose(blurred, damping * sharp, atol=5e-4)


def test_scans_are_kept_and_not_computed_twice(
    scan: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(specimens, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(specimens.Stem, "scan", lambda self: calls.append(self) or scan)
    first, second = specimen("si_110"), specimen("si_110")
    assert calls == [STEM["si_110"]]
    np.testing.assert_array_equal(first.image, second.image)
    assert first.pixel_size == STEM["si_110"].pixel_size
    assert "si_110" in specimens.cached_names() and "sto_001" not in specimens.cached_names()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["si_110.npz"]


def test_an_unknown_specimen_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no specimen 'unobtainium'.*si_110"):
        specimen("unobtainium")


def test_the_paper_s_specimens_and_aperiodic_and_light_ones_are_there() -> None:
    assert {"si_110", "sto_001", "graphene_defects", "ba_nd_ti_oxide"} <= set(STEM)
    kinds = {recipe.kind for recipe in SPECIMENS.values()}
    assert kinds == {"crystal", "monolayer", "interface", "particle", "film", "light"}


@pytest.mark.parametrize("name", LIGHT)
def test_light_scenes_are_reproducible_and_fill_their_range(name: str) -> None:
    made = specimen(name)
    assert made.image.dtype == np.float32 and made.image.shape == LIGHT[name].shape
    assert made.image.min() >= 0 and made.image.max() == pytest.approx(1)
    assert made.image.std() > 0.03


@pytest.mark.parametrize("draw", [light.nuclei, light.filaments, light.puncta, light.cells])
def test_a_light_scene_has_nothing_finer_than_its_psf(draw) -> None:
    scene = draw(np.random.default_rng(3), (96, 120), psf_sigma=2.5, background=0)
    again = draw(np.random.default_rng(3), (96, 120), psf_sigma=2.5, background=0)
    np.testing.assert_array_equal(scene, again)
    window = np.hanning(96)[:, None] * np.hanning(120)
    power = np.abs(np.fft.fft2((scene - scene.mean()) * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(96)[:, None], np.fft.fftfreq(120))
    # The PSF passes exp(-4 pi^2 sigma^2 f^2) of the power: a ten-millionth at f = 0.25
    assert power[frequency > 0.25].sum() < 1e-5 * power.sum()


def test_the_shipped_image_is_written_with_its_pixel_size_and_defects(
    scan: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ase", reason="the atomic models need the training dependency group")
    from training import ship

    monkeypatch.setattr(specimens, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(specimens.Stem, "scan", lambda self: scan)
    ship.ship(tmp_path)
    with tifffile.TiffFile(tmp_path / "mos2_defects.tif") as file:
        counts, page = file.asarray(), file.pages[0]
        assert file.imagej_metadata["unit"] == "nm"
        numerator, denominator = page.tags["XResolution"].value
    assert denominator / numerator == pytest.approx(0.012)  # nm in a pixel
    about = json.loads((tmp_path / "mos2_defects.json").read_text())
    truth = STEM["mos2_defects"].image(scan)
    np.testing.assert_allclose(
        counts * about["beam_fraction_per_count"], truth, atol=1e-5 * truth.max()
    )
    assert {defect["kind"] for defect in about["defects"]} >= {"vacancy S", "W on Mo"}


@pytest.mark.parametrize("name", sorted({recipe.model for recipe in STEM.values()}))
def test_no_two_atoms_of_a_model_overlap(name: str) -> None:
    pytest.importorskip("ase", reason="the atomic models need the training dependency group")
    from ase.neighborlist import neighbor_list

    from training import structures

    model = getattr(structures, name)()
    atoms = getattr(model, "atoms", model)
    assert atoms.cell.angles() == pytest.approx([90, 90, 90])
    loose = name in ("platinum_on_carbon", "atoms_on_carbon")  # metal rests on random carbon
    assert neighbor_list("d", atoms, 2.6).min(initial=9) > (0.5 if loose else 1.3)


def test_the_models_have_the_defects_that_they_list() -> None:
    pytest.importorskip("ase", reason="the atomic models need the training dependency group")
    from training import structures

    model = structures.molybdenum_disulfide_with_defects()
    kinds = [kind for kind, _, _ in model.defects]
    count = {kind: kinds.count(kind) for kind in kinds}
    symbols = model.atoms.get_chemical_symbols()
    assert symbols.count("W") == count["W on Mo"] and symbols.count("Se") == count["Se on S"]
    sites = 11 * 6 * 2  # of each kind: metal, upper and lower chalcogen
    assert symbols.count("Mo") == sites - sum(count[k] for k in count if k.endswith("Mo"))
    lost = count["vacancy S"] + 2 * count["vacancy S2"] + count["Se on S"]
    assert symbols.count("S") == 2 * sites - lost
