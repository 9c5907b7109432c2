"""tk_r_em 1.0.4, networks trained on simulated micrographs, applied to a single image.

    tk_r_em_denoise.py IMAGE.npy OUT.npy [--network sfr_lrstem]

denoises one image (Y, X) as a whole and writes it in the units of the input.  (The networks
normalise the input: a factor of 10,000 changes nothing.)  The default network, `sfr_hrstem`, is
for atomic columns in STEM; `sfr_lrstem` is for low resolution; `sfr_hrtem`, `sfr_lrtem`,
`sfr_hrsem` and `sfr_lrsem` are for TEM and SEM.

The script prints the seconds of the first call of `predict`, in which TensorFlow builds its graph,
and of a second one.  The time to read the network is listed separately.

The package tk_r_em (GPL-3.0) includes the weights, which only older versions of TensorFlow can
read:

    python3.11 -m venv rivals_tk_r_em
    rivals_tk_r_em/bin/pip install "tensorflow-cpu==2.12.*" tk_r_em==1.0.4
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--network", default="sfr_hrstem")
    arguments = parser.parse_args()
    from tk_r_em import load_network

    image = np.load(arguments.image).astype(np.float32)
    times = [time.perf_counter()]
    network = load_network(arguments.network)
    times.append(time.perf_counter())
    for _ in range(2):
        clean = network.predict(image)
        times.append(time.perf_counter())
    np.save(arguments.out, clean.astype(np.float32))
    reading, first, second = np.diff(times)
    print(f"{first:.1f} s, again {second:.1f} s; reading the network {reading:.1f} s")


if __name__ == "__main__":
    main()
