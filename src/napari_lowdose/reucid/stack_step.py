"""Step of REUCID after each patch stack, and its summary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.engine import Step
from napari_lowdose.reucid.kernel import kernel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class StackStep(Step):
    """Result of a patch stack; `image` is reconstructed from all stacks so far.

    Attributes
    ----------
    stack : int
        Number of the stack, from 0.
    n_stacks : int
        Total number of stacks.
    patch_size : int
        Width p of a patch, pixels.
    wide : bool
        True if patches are wider than the PSF.  Features that occur only once may be weakened.
    eigenpatches : (k, p, p) float32 array
        Eigenpatches of unit norm.
    singular_values : (k,) float64 array
        Descending, in units of the standard deviation of the image.
    noise_floor : float
        Singular value of pure white noise.
    utilities : (k,) float32 array
        Output of the classifier, from 0 (noise) to 1 (structure).
    kept : (k,) bool array
        Mask of the eigenpatches in the reconstruction.
    n_outliers : int
        Number of excluded pixels of the frame: cosmic rays, hot pixels, dead pixels.
    """

    stack: int
    n_stacks: int
    patch_size: int
    wide: bool = False
    eigenpatches: NDArray[np.float32]
    singular_values: NDArray[np.float64]
    noise_floor: float
    utilities: NDArray[np.float32]
    kept: NDArray[np.bool_]
    n_outliers: int = 0

    @property
    def kernel(self) -> NDArray[np.float32]:
        """Convolution kernel of the kept eigenpatches, (2p - 1, 2p - 1).

        With a single stack the result is the convolution of the image with it, except in the
        p - 1 outermost rows and columns.  With several stacks it is the same on average; see
        `napari_lowdose.reucid.kernel`.
        """
        return kernel(self.eigenpatches[self.kept])

    def record(self) -> dict[str, Any]:
        """Return the patch size and the indices of the kept eigenpatches, JSON-ready."""
        return {
            "stack": self.stack,
            "n_stacks": self.n_stacks,
            "patch_size": self.patch_size,
            "wide": self.wide,
            "kept": np.flatnonzero(self.kept).tolist(),
            "n_eigenpatches": len(self.kept),
            "n_outliers": self.n_outliers,
        }


def stack_summary(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Summarise the patch sizes and the kept eigenpatches of all patch stacks.

    For stacks of alike patches, the kept eigenpatches are those of the pilot, and the groups of
    the last pass and the noise are added.

    Parameters
    ----------
    records : sequence of dict
        `StackStep.record` of each patch stack, with the `index` of its frame.

    Returns
    -------
    list of str
        Empty if there are no patch stacks.

    Examples
    --------
    >>> stack = {"index": (), "patch_size": 7, "kept": [0, 1, 2, 5], "n_eigenpatches": 25}
    >>> stack_summary([stack])
    ['patch 7 px', 'kept 4 of 25 eigenpatches (0-2 5)']
    >>> noise = {"gain": 2.06, "offset": 100.0, "read_noise": 3.0}
    >>> groups = {"index": (), "patch_size": 17, "n_groups": 96, "deviations": 0.032}
    >>> for line in stack_summary([{**stack, **noise}, {**groups, **noise}]):
    ...     print(line)
    patch 7 px
    kept 4 of 25 eigenpatches (0-2 5)
    96 groups of alike patches of 17 px
    deviations restored in 3.2 % of the image
    gain 2.1 grey levels per electron, read noise 3 grey levels
    """
    alike = alike_summary(records)
    records = [record for record in records if "n_groups" not in record]
    if not records:
        return []
    n_kept = _span(len(record["kept"]) for record in records)
    kept = f"kept {n_kept} of {_span(r['n_eigenpatches'] for r in records)} eigenpatches"
    n_frames = len({tuple(record["index"]) for record in records})
    if len(records) == 1:
        kept += f" ({_ranges(records[0]['kept'])})"
    elif n_frames == 1:
        kept += f" in each of {len(records)} patch stacks"
    else:
        kept += f" in each patch stack of {n_frames} frames"
    return [f"patch {_span(record['patch_size'] for record in records)} px", kept, *alike]


def alike_summary(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Summarise the groups of alike patches, the deviations and the noise.

    Parameters
    ----------
    records : sequence of dict
        As for `stack_summary`.  The last record of each frame counts.

    Returns
    -------
    list of str
        Empty if there are no stacks of alike patches.
    """
    last = {tuple(record["index"]): record for record in records if "gain" in record}.values()
    if not last:
        return []
    summary = []
    if passes := [record for record in last if "n_groups" in record]:
        n_groups = _span(record["n_groups"] for record in passes)
        width = _span(record["patch_size"] for record in passes)
        summary.append(f"{n_groups} groups of alike patches of {width} px")
        if any(record["deviations"] for record in passes):
            share = _span(float(f"{100 * record['deviations']:.2g}") for record in passes)
            summary.append(f"deviations restored in {share} % of the image")
    gain, read = (_span(float(f"{r[name]:.2g}") for r in last) for name in ("gain", "read_noise"))
    if any(record["gain"] for record in last):
        noise = f"gain {gain} grey levels per electron, read noise {read} grey levels"
    else:
        noise = f"additive noise of {read} grey levels"
    return [*summary, noise]


def _span(numbers: Iterable[float]) -> str:
    found = [f"{number:g}" for number in sorted(set(numbers))]
    return found[0] if len(found) == 1 else f"{found[0]} to {found[-1]}"


def _ranges(numbers: Sequence[int]) -> str:
    """Format consecutive numbers as ranges, for example 0 1 2 5 as "0-2 5"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return " ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
