"""Write the eigenpatches that keep the classifier from forgetting when it is taught.

``python -m training.replay`` labels noisy images of the specimens, as `training.train` does, and
writes what the dense layers of the shipped classifier see of some of their eigenpatches to
``replay.safetensors`` of the package.  Run it again after `training.train`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import save

import napari_lowdose.reucid.teaching.replay
from napari_lowdose.reucid.classifier import features, load_weights
from napari_lowdose.reucid.classifier_file import NETWORKS
from training.specimens import SPECIMENS
from training.train import HELD_OUT, make_examples

if TYPE_CHECKING:
    from training.dataset import Example

REPLAY = Path(napari_lowdose.reucid.teaching.replay.__file__).with_name("replay.safetensors")
DRAWS = 8  # noisy images of each specimen, one with each kind of noise
MOST = {"training": 4000, "held_out": 1500}  # eigenpatches of a network, about 70 bytes each
LEFT_OUT = ("cu_sigma5", "pt_on_carbon")  # which take longest to simulate
SEED = 2  # other images than those of the training and its evaluation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=REPLAY)
    path = parser.parse_args().out
    trained = [name for name in SPECIMENS if name not in (*HELD_OUT, *LEFT_OUT)]
    names = {"training": trained, "held_out": HELD_OUT}
    tensors: dict[str, np.ndarray] = {}
    for part, which in names.items():
        examples = make_examples(which, draws=DRAWS, seed=SEED)
        for network in NETWORKS:
            fitting = [e for e in examples if e.scan_noise in (network, "either")]
            for name, array in seen_of(fitting, network, MOST[part]).items():
                tensors[f"{network}.{part}.{name}"] = array
    path.write_bytes(save(tensors))
    print(f"wrote {path} ({path.stat().st_size / 1000:.0f} kB)")


def seen_of(examples: list[Example], network: str, most: int) -> dict[str, np.ndarray]:
    """Return what the dense layers see of `most` eigenpatches, with their labels."""
    weights = load_weights(network)
    seen = np.concatenate(
        [
            features(e.patches.astype(np.float32), e.values, weights).reshape(2, len(e.values), -1)
            for e in examples
        ],
        axis=1,
    )
    labels = np.concatenate([e.label for e in examples])
    cost = np.concatenate([e.weight for e in examples])
    chosen = np.random.default_rng(SEED).permutation(len(labels))[:most]
    return {
        "seen": seen[:, chosen].astype(np.float16),
        "labels": labels[chosen].astype(np.uint8),
        "cost": np.minimum(cost[chosen], 1).astype(np.float16),
    }


if __name__ == "__main__":
    main()
