"""Noise2Noise of CAREamics 0.3.5 with its defaults, for a given number of seconds.

    careamics_n2n.py FIRST SECOND OUT.npy --seconds 60

trains on the pair (.npy or .tif, one image each) with 64 px patches in batches of 8, and writes
OUT.npy, shape (2, Y, X): the mean of the network applied to both exposures, then the network
applied to the first alone.  CAREamics normalises each exposure by its mean and standard deviation
and returns the result in units of the second, so match gain and offset of the exposures first.

Defaults of CAREamics are the loss (mean absolute error), the U-Net (2 levels, 32 channels), Adam,
the schedule of the learning rate, flips and rotations, 8 held-out patches, and one worker less than
there are cores.  Only the number of epochs is not, as the default of 30 would end too early.  The
network of the last step is used, as CAREamics does for Noise2Noise.

Time is counted from the call of `train`.  It includes the start of the workers and the validation,
but not imports and the creation of the network.

The mean absolute error estimates the median, which differs from the mean for low-dose noise:
therefore report the PSNR after the best gain and offset, too.

The script needs an environment of its own, with a CPU build of torch (see CONTRIBUTING.md); it was
used with two threads on two cores.  CAREamics requires torchvision <= 0.26, which requires torch
2.11, but Noise2Noise does not use torchvision.  Both are therefore installed without dependencies,
and the other requirements of CAREamics are listed explicitly:

    python3.11 -m venv rivals_careamics
    rivals_careamics/bin/pip install torch==2.13.0
    rivals_careamics/bin/pip install --no-deps careamics==0.3.5 torchvision==0.28.0
    rivals_careamics/bin/pip install torch==2.13.0 "bioimageio-core>=0.9,<=0.11" \
        "lightning>=2.2,<=2.6.6,!=2.6.2,!=2.6.3" matplotlib "microssim<=0.0.5" "numpy<=2.4.6" \
        psutil "pydantic>=2.11,<=2.14.1" pyyaml "scikit-image<=0.26" "tifffile<=2026.3.3" \
        "torchmetrics<1.9" "zarr>=3,<4"
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

# PyPI's torchvision is built for CUDA.  With a CPU build of torch its import fails, because it
# cannot load these operators.  CAREamics does not call them, so it is enough to declare them.
if torch.version.cuda is None:
    for operator in ("nms", "qnms"):
        schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        torch.library.define(f"torchvision::{operator}", schema)

from careamics import CAREamist
from careamics.config.factories import create_advanced_n2n_config
from lightning.pytorch import Callback, Trainer


class TimeBudget(Callback):
    """End the training after the step in which the time runs out."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.start = self.end = 0.0

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self.end = time.perf_counter()
        if self.end - self.start >= self.seconds:
            trainer.should_stop = True
            trainer.limit_val_batches = 0  # no further validation, as in CAREamist.stop_training


def read(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        return np.load(path).astype(np.float32)
    import tifffile

    return tifffile.imread(path).astype(np.float32)


def train_and_apply(
    first: np.ndarray, second: np.ndarray, seconds: float, *, swap: bool, seed: int
) -> tuple[np.ndarray, float, int]:
    """Return the results (2, Y, X), the training time in seconds and the number of steps."""
    config = create_advanced_n2n_config(
        experiment_name="n2n",
        data_type="array",
        axes="YX",
        patch_size=[64, 64],
        batch_size=8,
        num_epochs=1_000_000,
        seed=seed,
        trainer_params={"enable_model_summary": False, "accelerator": "cpu"},
    )
    budget = TimeBudget(seconds)
    with tempfile.TemporaryDirectory() as folder:
        rival = CAREamist(config, work_dir=folder, callbacks=[budget], enable_progress_bar=False)
        budget.start = time.perf_counter()
        if swap:
            rival.train(train_data=[first, second], train_data_target=[second, first])
        else:
            rival.train(train_data=first, train_data_target=second)
        steps = rival.trainer.global_step
        last = Path(folder) / "last.ckpt"
        rival.trainer.save_checkpoint(last)
        images, _ = rival.predict([first, second], checkpoint=last)
    of_first, of_second = (np.squeeze(image) for image in images)
    result = np.stack([(of_first + of_second) / 2, of_first]).astype(np.float32)
    return result, budget.end - budget.start, steps


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1, help="1 or more")
    parser.add_argument("--swap", action="store_true", help="train from second to first as well")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    result, seconds, steps = train_and_apply(
        read(arguments.first),
        read(arguments.second),
        arguments.seconds,
        swap=arguments.swap,
        seed=arguments.seed,
    )
    np.save(arguments.out, result)
    print(f"{seconds:.1f} s, {steps} steps, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
