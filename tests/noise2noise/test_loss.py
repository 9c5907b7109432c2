"""The loss equals Eq. (4) of the paper, and is finite for constant images."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_lowdose.noise2noise.loss import pearson_loss


def transcription(
    output: NDArray[np.float64], partner: NDArray[np.float64], seen: NDArray[np.bool_]
) -> float:
    """Transcription of Eqs. (4) to (7) in float64, over the pixels with weight."""
    r, i = output[seen], partner[seen]
    covariance = np.mean((r - r.mean()) * (i - i.mean()))
    return float(1 - covariance / np.sqrt(r.var() * i.var()))


def batch(seed: int, shape: tuple[int, int, int], likeness: float) -> NDArray[np.float32]:
    """Two correlated batches of crops with a standard deviation of about 1."""
    rng = np.random.default_rng(seed)
    scene, *noises = rng.normal(size=(3, shape[0], 1, *shape[1:]))
    mixed = [likeness * scene + np.sqrt(1 - likeness**2) * noise for noise in noises]
    return np.array(mixed, np.float32)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 5), st.integers(4, 40), st.integers(4, 40)),
    likeness=st.floats(0, 1),
    gain=st.sampled_from([0.1, 1.0, 30.0]),
    offset=st.sampled_from([-50.0, 0.0, 7.0]),
    hidden=st.sampled_from([0.0, 0.3]),
)
def test_loss_equals_equation_4(
    seed: int,
    shape: tuple[int, int, int],
    likeness: float,
    gain: float,
    offset: float,
    hidden: float,
) -> None:
    output, partner = batch(seed, shape, likeness)
    output = np.float32(gain) * output + np.float32(offset)
    seen = np.random.default_rng(seed).random(output.shape) >= hidden
    seen.flat[:2] = True
    expected = transcription(output.astype(float), partner.astype(float), seen)
    weight = torch.from_numpy(seen.astype(np.float32))
    loss = pearson_loss(torch.from_numpy(output), torch.from_numpy(partner), weight)
    # What keeps dark crops finite is 1e-5 of the variance; a variance of 0.01 feels a part in 2000
    assert float(loss) == pytest.approx(expected, abs=2e-3 if gain < 1 else 3e-4)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), gain=st.floats(0.3, 100), offset=st.floats(-100, 100))
def test_gain_and_offset_of_the_output_do_not_matter(seed: int, gain: float, offset: float) -> None:
    output, partner = torch.from_numpy(batch(seed, (2, 32, 32), 0.7))
    other = pearson_loss(gain * output + offset, partner)
    assert float(other) == pytest.approx(float(pearson_loss(output, partner)), abs=2e-4)


def test_correlation_is_over_the_whole_batch() -> None:
    """With one correlation per crop, the gain could differ between crops."""
    output, partner = torch.from_numpy(batch(0, (2, 32, 32), 0.8))
    wrong = output * torch.tensor([1.0, -3.0]).reshape(2, 1, 1, 1)
    each = [float(pearson_loss(w[None], p[None])) for w, p in zip(wrong, partner, strict=True)]
    together = float(pearson_loss(wrong, partner))
    assert together > np.mean(each) + 0.1
    gains = output * torch.tensor([1.0, 9.0]).reshape(2, 1, 1, 1)
    assert float(pearson_loss(gains, partner)) > float(pearson_loss(output, partner)) + 0.05


CROP = torch.from_numpy(batch(1, (2, 16, 16), 0.5))
FLAT, SEEN = torch.zeros_like(CROP[0]), torch.ones_like(CROP[0])


@pytest.mark.parametrize(
    ("output", "partner", "weight"),
    [
        (FLAT, CROP[1], None),
        (FLAT + 5, CROP[1], None),
        (CROP[0], FLAT, None),
        (FLAT, FLAT, None),
        (1e-9 * CROP[0], 1e-9 * CROP[1], None),
        (CROP[0], CROP[1], 0 * SEEN),
        (1e4 * CROP[0], CROP[1], None),
    ],
    ids=[
        "constant output",
        "offset output",
        "constant partner",
        "dark",
        "faint",
        "all held out",
        "bright output",
    ],
)
def test_loss_and_gradient_are_finite(
    output: torch.Tensor, partner: torch.Tensor, weight: torch.Tensor | None
) -> None:
    output = output.clone().requires_grad_()
    loss = pearson_loss(output, partner, weight)
    loss.backward()
    assert 0 <= float(loss.detach()) <= 2
    assert output.grad is not None
    assert torch.isfinite(output.grad).all()
    # Not a step that throws the network far off either
    assert output.grad.abs().sum() < 1e3


def test_held_out_pixels_have_no_effect() -> None:
    output, partner = CROP[0].clone().requires_grad_(), CROP[1]
    weight = SEEN.clone()
    weight[:, :, 4:12, 2:9] = 0
    loss = pearson_loss(output, partner, weight)
    loss.backward()
    assert output.grad is not None
    assert (output.grad[weight == 0] == 0).all()
    assert (output.grad[weight == 1] != 0).any()
    garbage = torch.where(weight == 0, torch.tensor(1e3), partner)
    assert torch.equal(pearson_loss(CROP[0], garbage, weight), loss.detach())


def test_16_bit_outputs_are_correlated_in_float32() -> None:
    loss = pearson_loss(CROP[0].bfloat16(), CROP[1].bfloat16())
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(pearson_loss(CROP[0], CROP[1])), abs=1e-2)
