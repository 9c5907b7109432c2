"""Train the classifier from scratch and write the weights of the package.

``python -m training.train`` simulates the specimens that are missing in ``training/cache``, labels
their eigenpatches, trains one network for each treatment of scan noise, prints an evaluation on
held-out specimens, and writes ``classifier.safetensors``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch.nn import functional as F

import napari_lowdose.reucid
from napari_lowdose.reucid.reucid import ScanNoise
from training.dataset import ORIENTED, Example, examples
from training.network import UtilityNet
from training.report import report
from training.specimens import SPECIMENS, specimen

WEIGHTS = Path(napari_lowdose.reucid.__file__).with_name("classifier.safetensors")

# One specimen of each kind.  The split is by specimen, because patches of one image are similar.
HELD_OUT = ("mos2_defects", "lao_sto", "atoms_on_carbon", "light_filaments_blurred")

# The paper does not give these values.
EPOCHS = 40
BATCH = 16  # images, each with all its eigenpatches
LEARNING_RATE = 6e-3
WEIGHT_DECAY = 1e-4
FULL_COST = 0.2  # relative increase of the squared error at which a mistake has its full weight
MIN_COST = 0.02
LABEL_SHARE = 0.3  # weight of the cross-entropy of the labels, relative to the regret


def _label(name: str, draws: int, seed: int) -> list[Example]:
    return list(examples(name, draws=draws, seed=seed))


def make_examples(names: Sequence[str], *, draws: int, seed: int) -> list[Example]:
    """Label `draws` noisy images of each specimen, in parallel."""
    label = partial(_label, draws=draws, seed=seed)
    with ProcessPoolExecutor() as pool:
        return [example for batch in pool.map(label, names) for example in batch]


@dataclass(frozen=True)
class Batches:
    """Examples as tensors, padded to the same number of eigenpatches k.

    ``power``, ``b`` and ``q`` give the squared error of a choice, relative to that of the best
    choice in hindsight; see `training.labels`.
    """

    patches: torch.Tensor  # (n, k, 25, 25)
    values: torch.Tensor  # (n, k)
    labels: torch.Tensor  # (n, k)
    cost: torch.Tensor  # (n, k)
    present: torch.Tensor  # (n, k) bool
    oriented: torch.Tensor  # (n, k) bool
    power: torch.Tensor  # (n,)
    b: torch.Tensor  # (n, k)
    q: torch.Tensor  # (n, k, k)

    @classmethod
    def of(cls, examples: Sequence[Example]) -> Batches:
        n, k = len(examples), max(len(e.values) for e in examples)
        made = cls(
            patches=torch.zeros(n, k, 25, 25, dtype=torch.float16),
            values=torch.zeros(n, k),
            labels=torch.zeros(n, k),
            cost=torch.zeros(n, k),
            present=torch.zeros(n, k, dtype=torch.bool),
            oriented=torch.zeros(n, k, dtype=torch.bool),
            power=torch.zeros(n),
            b=torch.zeros(n, k),
            q=torch.zeros(n, k, k),
        )
        for i, e in enumerate(examples):
            m, best = len(e.values), e.error(e.label)
            made.patches[i, :m] = torch.from_numpy(e.patches)
            made.values[i, :m] = torch.from_numpy(e.values)
            made.labels[i, :m] = torch.from_numpy(e.label.astype(np.float32))
            made.cost[i, :m] = torch.from_numpy(np.minimum(e.weight / FULL_COST, 1) + MIN_COST)
            made.present[i, :m] = True
            made.oriented[i] = e.noise in ORIENTED
            made.power[i] = e.error.power / best
            made.b[i, :m] = torch.from_numpy(e.error.b / best)
            made.q[i, :m, :m] = torch.from_numpy(e.error.q / best)
        return made


def fit(train: Sequence[Example], epochs: int, seed: int) -> UtilityNet:
    """Train the network; the weights depend only on the seed and the number of threads.

    The loss is the regret: the logarithm of the squared error with the utilities as coefficients,
    relative to that of the best choice.  Its minimum is the share of signal in the contribution of
    each eigenpatch.  If that share is above one half, keeping the eigenpatch reduces the error.
    """
    torch.manual_seed(seed)
    data = Batches.of(train)
    n, k = data.values.shape
    net = UtilityNet()
    n_steps = epochs * -(-n // BATCH)
    optimiser = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=n_steps)
    for epoch in range(epochs):
        total = 0.0
        for rows in torch.randperm(n).split(BATCH):
            there = data.present[rows]
            x = augment(data.patches[rows][there].float(), data.oriented[rows][there])
            logit = net(x, data.values[rows][there])
            cost = data.cost[rows][there]
            labels = data.labels[rows][there]
            entropy = F.binary_cross_entropy_with_logits(logit, labels, cost, reduction="sum")
            u = torch.zeros(len(rows), k).masked_scatter(there, torch.sigmoid(logit))
            error = data.power[rows] - 2 * (data.b[rows] * u).sum(1)
            error = error + torch.einsum("nk,nkl,nl->n", u, data.q[rows], u)
            regret = torch.log(error.clamp(min=0.05)).mean()
            loss = regret + LABEL_SHARE * entropy / cost.sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += regret.item() * len(rows)
        if epoch % 10 == 9:
            print(f"  epoch {epoch + 1}: regret {4.34 * total / n:.3f} dB", flush=True)
    return net


def augment(patches: torch.Tensor, oriented: torch.Tensor) -> torch.Tensor:
    """Mirror, negate and transpose at random; `oriented` patches are not transposed."""
    if torch.rand(()) < 0.5:
        patches = patches.flip(1)
    if torch.rand(()) < 0.5:
        patches = patches.flip(2)
    sign = torch.randint(0, 2, (len(patches), 1, 1)) * 2 - 1
    patches = patches * sign
    transpose = ~oriented & (torch.rand(len(patches)) < 0.5)
    return torch.where(transpose[:, None, None], patches.transpose(1, 2), patches)


def relative_to_the_largest(example: Example) -> Example:
    """Normalise the singular values by the largest, as in the paper, not by the noise floor."""
    return replace(example, values=np.exp(example.values - example.values.max()))


def fit_for(scan_noise: str, *, train: Sequence[Example], epochs: int, seed: int) -> UtilityNet:
    """Train the network for one treatment of scan noise, on one thread."""
    torch.set_num_threads(1)
    return fit([e for e in train if e.scan_noise in (scan_noise, "either")], epochs, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=32, help="noisy images per specimen")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument(
        "--paper-normalisation",
        action="store_true",
        help="normalise singular values by the largest, for comparison; only report",
    )
    parser.add_argument(
        "--report", action="store_true", help="evaluate the existing weights without training"
    )
    arguments = parser.parse_args()
    modes = get_args(ScanNoise)

    for name in SPECIMENS:
        specimen(name)  # simulates the specimen if it is not in the cache
    test = make_examples(HELD_OUT, draws=arguments.draws, seed=arguments.seed + 1)
    if arguments.report:
        report_all({scan_noise: read(scan_noise, arguments.out) for scan_noise in modes}, test)
        return
    train_names = [name for name in SPECIMENS if name not in HELD_OUT]
    train = make_examples(train_names, draws=arguments.draws, seed=arguments.seed)
    if arguments.paper_normalisation:
        train = [relative_to_the_largest(e) for e in train]
        test = [relative_to_the_largest(e) for e in test]
    train_one = partial(fit_for, train=train, epochs=arguments.epochs, seed=arguments.seed)
    with ProcessPoolExecutor(len(modes)) as pool:
        nets = dict(zip(modes, pool.map(train_one, modes), strict=True))
    report_all(nets, test)
    if not arguments.paper_normalisation:
        write(nets, arguments.out, {"trained_on": train_names, "held_out": HELD_OUT})


def report_all(nets: Mapping[str, UtilityNet], test: Sequence[Example]) -> None:
    """Print the evaluation of each network on held-out specimens."""
    for scan_noise, net in nets.items():
        print(f"\nscan noise: {scan_noise}; held-out specimens", flush=True)
        report(net, [e for e in test if e.scan_noise in (scan_noise, "either")])


def read(scan_noise: str, path: Path) -> UtilityNet:
    """Read the network for one treatment of scan noise from a safetensors file."""
    prefix = f"{scan_noise}."
    tensors = {
        k.removeprefix(prefix): v for k, v in load_file(path).items() if k.startswith(prefix)
    }
    net = UtilityNet()
    net.load_state_dict(tensors)
    return net


def write(nets: Mapping[str, UtilityNet], path: Path, record: Mapping[str, object]) -> None:
    """Write the weights of all networks to one safetensors file."""
    tensors = {
        f"{scan_noise}.{name}": weights.contiguous()
        for scan_noise, net in nets.items()
        for name, weights in net.state_dict().items()
    }
    path.write_bytes(save(tensors, metadata={"record": json.dumps(record)}))
    print(f"wrote {path} ({path.stat().st_size / 1024:.0f} KiB)")


if __name__ == "__main__":
    main()
