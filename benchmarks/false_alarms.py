"""How often the checks of a pair warn of a good one, and how long they take.

``python -m benchmarks.false_alarms`` checks a hundred simulated pairs, and one of 2048 x 2048
pixels; it fails if more than 3 % of the good pairs raise a warning.
"""

from __future__ import annotations

import time

import numpy as np

from benchmarks.scenes import Image, lattice, scattered
from napari_lowdose.noise2noise.pair_checks import PairNote, check_pair
from napari_lowdose.pairs.noise_model import simulate_pair

Y, X = np.indices((192, 192))
SCENES: dict[str, Image] = {
    "lattice": lattice(2, 12, (192, 192)) + 0.1,
    "blobs": scattered(4, (192, 192)) + 0.1,
    "smooth": np.exp(3 * np.sin(X / 30) * np.cos(Y / 25)),
    "one cell": np.exp(-((Y - 90) ** 2 + (X - 80) ** 2) / 300) + 0.1,
}
PHOTONS = (0.5, 3, 20, 150, 1000)  # mean per pixel
MAX_SHARE = 0.03  # of the pairs


def kinds(notes: list[PairNote], *levels: str) -> set[str]:
    """Return the kinds of the notes of these levels, by default refusals and warnings."""
    return {note.kind for note in notes if note.level in (levels or ("refuse", "warn"))}


def false_alarms(n_seeds: int) -> dict[tuple[str, float, int], set[str]]:
    """Return the kinds of the warnings for each good pair: (scene, photons, seed) to kinds."""
    return {
        (name, photons, seed): kinds(
            check_pair(
                *simulate_pair(scene, photons=photons, read_noise=0.5, ratio=0.55, seed=seed)
            )
        )
        for name, scene in SCENES.items()
        for photons in PHOTONS
        for seed in range(n_seeds)
    }


def seconds_per_check(side: int, repeats: int = 2) -> float:
    """Return the CPU time of the checks of a pair of `side` x `side` pixels."""
    scene = np.tile(SCENES["blobs"], (side // 192 + 1,) * 2)[:side, :side]
    first, second = simulate_pair(scene, photons=10)
    times = [time.process_time()]
    for _ in range(repeats):
        check_pair(first, second)
        times.append(time.process_time())
    return float(np.diff(times).min())


def main() -> None:
    """Print every false alarm, their share, and the time of a check."""
    alarms = false_alarms(n_seeds=5)
    for (name, photons, seed), found in alarms.items():
        if found:
            print(f"{name}, {photons} photons, seed {seed}: {', '.join(sorted(found))}")
    n_alarms = sum(map(bool, alarms.values()))
    print(f"{n_alarms} of {len(alarms)} good pairs raise a warning", flush=True)
    seconds = seconds_per_check(2048)
    print(f"{seconds:.2f} s for a pair of 2048 x 2048 pixels")
    assert n_alarms <= MAX_SHARE * len(alarms)
    assert seconds < 2


if __name__ == "__main__":
    main()
