"""The classifier: blind to the sign, exact against PyTorch, and right about scan noise."""

from __future__ import annotations

import numpy as np
import pytest

from napari_lowdose import Reucid, denoise
from napari_lowdose.reucid import classifier


def test_weights_are_shipped_for_either_scan_noise() -> None:
    for scan_noise in ("remove", "keep"):
        weights = classifier.load_weights(scan_noise)
        shapes = {name: w.shape for name, w in weights.items()}
        # Fig. 3 of the paper
        assert shapes["conv1.weight"] == (14, 1, 5, 5)
        assert shapes["conv2.weight"] == (15, 14, 3, 3)
        assert shapes["fc3.weight"] == shapes["fc4.weight"] == (16, 16)
        assert shapes["out.weight"] == (1, 16)


def test_the_sign_of_an_eigenpatch_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    patches = np.linalg.qr(rng.normal(size=(81, 10)))[0].T.reshape(10, 9, 9)
    values = np.linspace(9, 1, 10)
    signs = rng.choice([-1, 1], size=(10, 1, 1))
    weights = classifier.load_weights("remove")
    np.testing.assert_allclose(
        classifier.utility(patches, values, 1.0, weights),
        classifier.utility(signs * patches, values, 1.0, weights),
        rtol=1e-5,
    )


def test_same_as_in_pytorch() -> None:
    torch = pytest.importorskip("torch")
    from training.network import UtilityNet

    rng = np.random.default_rng(1)
    patches = rng.normal(size=(6, 25, 25)).astype(np.float32)
    values = rng.normal(size=6).astype(np.float32)
    weights = classifier.load_weights("remove")
    net = UtilityNet()
    net.load_state_dict({name: torch.from_numpy(w.copy()) for name, w in weights.items()})
    with torch.no_grad():
        expected = [
            net(torch.from_numpy(sign * patches), torch.from_numpy(values)).numpy()
            for sign in (1, -1)
        ]
    np.testing.assert_allclose(
        classifier.forward(patches, values, weights), expected, rtol=1e-4, atol=1e-5
    )


def test_at_least_one_is_kept() -> None:
    kept = classifier.choose(np.array([0.01, 0.02, 0.015], np.float32))
    assert kept.tolist() == [False, True, False]


def fringes(axis: int) -> np.ndarray:
    """Return lattice fringes that run along `axis`, 0 to 1."""
    y, x = np.indices((160, 160))
    return 0.5 + 0.5 * np.cos(2 * np.pi * (x if axis == 0 else y) / 14)


@pytest.mark.parametrize("axis", [0, 1], ids=["vertical", "horizontal"])
def test_fringes_of_either_direction_survive(axis: int) -> None:
    truth = fringes(axis)
    rng = np.random.default_rng(2)
    image = rng.poisson(8 * truth) / 8 + 0.05 * rng.normal(size=truth.shape)
    clean = denoise(image, Reucid(patch_size="psf"))
    wave = truth - truth.mean()
    assert np.vdot(clean, wave) / np.vdot(wave, wave) > 0.9


def test_scan_noise_is_removed_or_kept() -> None:
    y, x = np.indices((160, 160))
    truth = np.exp(-(((y % 15) - 7) ** 2 + ((x % 13) - 6) ** 2) / 8)

    def rows_left(scan_noise: str, seed: int) -> float:
        rng = np.random.default_rng(seed)
        rows = 0.1 * rng.normal(size=(160, 1))
        image = rng.poisson(20 * truth) / 20 + 0.05 * rng.normal(size=truth.shape) + rows
        clean = denoise(image, Reucid(patch_size=11, scan_noise=scan_noise))  # type: ignore[arg-type]
        left = (clean - truth).mean(axis=1)
        return float(np.vdot(left - left.mean(), rows) / np.vdot(rows, rows))

    # one image to the next, 0.21 to 0.33 and 0.96 to 1.01
    assert np.mean([rows_left("remove", seed) for seed in range(5)]) < 0.32
    assert np.mean([rows_left("keep", seed) for seed in range(5)]) > 0.95
