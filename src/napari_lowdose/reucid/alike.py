"""REUCID with stacks of alike patches.

1. Remove the offsets of scan rows (`row_offsets`), estimate the noise and stabilise its variance.
2. Pilot: REUCID of the stabilised image, with a single stack of all patches.
3. Group alike patches by the pilot, and project each group (`alike_stacks`).
4. Once more, with the result as pilot.
5. Restore sites that deviate from their group (`deviations`).
6. Return to grey levels with the exact unbiased inverse.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_lowdose.engine import Step, report
from napari_lowdose.reucid.alike_stacks import AlikeStacks, group_patches, project_alike
from napari_lowdose.reucid.classifier import UTILITY_THRESHOLD
from napari_lowdose.reucid.deviations import restore_deviations
from napari_lowdose.reucid.eigenpatches import decompose
from napari_lowdose.reucid.kernel import convolve, kernel
from napari_lowdose.reucid.patch_stacks import largest_patch
from napari_lowdose.reucid.stack_step import StackStep
from napari_lowdose.reucid.standard_error import alike_error, pilot_error
from napari_lowdose.warned import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from numpy.typing import NDArray

    from napari_lowdose.reucid.noise_estimate import NoiseEstimate
    from napari_lowdose.reucid.standard_error import StandardError

    Image = NDArray[np.float32]
    Choose = Callable[[NDArray[np.float32], NDArray[np.float64], float], tuple[Any, Any]]

PASSES = 2  # a third one changes less than 0.1 dB
# Mean number of electrons per pixel, below which rare bright features lose more than is gained
FEWEST = 0.01
LARGEST_CHANGE = 1.5  # of the contrast between frames of one scene
RESTORING = 0.1  # approximate fraction of the last reconstruction spent on the deviations
NARROWEST = 17  # minimum width of alike patches: smaller ones cannot be told apart in noise


@dataclass(frozen=True, kw_only=True)
class AlikeStep(StackStep):
    """Result of the pilot, or of a pass over the groups of alike patches.

    `stack` is 0 for the pilot and the number of the pass otherwise.  After a pass, `eigenpatches`
    are the shared basis of all groups.

    Attributes
    ----------
    noise : NoiseEstimate
        Noise of the frame.
    n_groups : int
        Number of groups of alike patches; 0 for the pilot.
    deviations : float
        Fraction of the image in which deviations from the groups were restored.
    """

    noise: NoiseEstimate
    n_groups: int = 0
    deviations: float = 0.0

    def record(self) -> dict[str, Any]:
        """Return patch size, groups and noise, JSON-ready.

        The pilot has the indices of its kept eigenpatches, a pass the number of its groups.
        """
        record = super().record() | {
            "gain": float(self.noise.gain),
            "offset": float(self.noise.offset),
            "read_noise": float(self.noise.read_noise),
        }
        if self.stack == 0:
            return record
        # There is no choice of eigenpatches in a pass: a group weights all of them.
        del record["kept"], record["n_eigenpatches"]
        return record | {"n_groups": self.n_groups, "deviations": round(self.deviations, 4)}


def alike_steps(
    image: NDArray[Any],
    neighbours: Sequence[NDArray[Any]],
    noise: NoiseEstimate,
    patch_size: int,
    n_components: int,
    choose: Choose,
    restore: Callable[[Image], Image],
    *,
    begin: float,
    wide: bool,
    deviations: Literal["keep", "average"],
    n_outliers: int,
    seed: int,
) -> Generator[Step, None, StandardError]:
    """Denoise an image with stacks of alike patches.

    Parameters
    ----------
    image : (m, n) array
        Grey levels, without outliers.
    neighbours : sequence of (m, n) array
        Frames whose patches join the groups.
    noise : NoiseEstimate
        Noise of `image` and its neighbours.
    patch_size : int
        Width of a patch of the pilot, pixels.
    n_components : int
        Rank of the SVD of the pilot.
    choose : callable
        Function of eigenpatches, singular values and noise floor that returns the utilities and
        the mask of those to keep.
    restore : callable
        Function of a denoised image in grey levels that returns the result for the frame.
    begin : float
        Fraction of the work that is done before.
    wide : bool
        True if the patches of the pilot are wider than the PSF.
    deviations : "keep" or "average"
        See `Reucid`.
    n_outliers : int
    seed : int

    Yields
    ------
    AlikeStep
        After the pilot and after each pass.
    Step
        Progress in between, without an image.

    Returns
    -------
    StandardError
        Computes the standard error of the last result, (m, n), grey levels.
    """

    def at(fraction: float) -> float:
        return begin + (1 - begin) * fraction

    stabilised = noise.stabilise(image)
    level = np.float32(stabilised.mean(dtype=np.float64))
    centred = stabilised - level
    p = patch_size
    everywhere = np.ones([n - p + 1 for n in image.shape], bool)
    svd = decompose(centred, everywhere, p, n_components, seed=seed)
    values, eigenpatches, floor = yield from report(svd, at(0.0), at(0.05), "pilot: SVD")
    utilities, kept = choose(eigenpatches, values, floor)
    passes = PASSES if utilities.max() > UTILITY_THRESHOLD else 0  # groups of noise look ordered
    electrons = (float(np.mean(image)) - noise.offset) / noise.gain if noise.gain else np.inf
    if electrons < FEWEST:
        passes = 0
        warn(
            f"With {electrons:.1g} electrons or photons per pixel, alike patches cannot be found: "
            "the result is that of random stacks.",
            stacklevel=2,
        )
    convolved = convolve(centred, eigenpatches[kept])
    pilot = yield from report(convolved, at(0.05), at(0.1), "pilot: reconstruction")
    pilot += level
    common: dict[str, Any] = {
        "n_stacks": 1 + passes,
        "wide": wide,
        "n_outliers": n_outliers,
        "noise": noise,
    }

    def result(denoised: Image) -> Image:
        return restore(noise.unstabilise(denoised))

    yield AlikeStep(
        fraction=at(0.1) if passes else 1.0,
        message=f"pilot: patches of {p} px, {kept.sum()} of {len(kept)} eigenpatches kept",
        image=result(pilot),
        stack=0,
        patch_size=p,
        eigenpatches=eigenpatches,
        singular_values=values,
        noise_floor=floor,
        utilities=utilities,
        kept=kept,
        **common,
    )
    filter_kernel = kernel(eigenpatches[kept])
    # Each frame with its own pilot, so that a patch joins the group of what it shows itself
    frames, pilots = [stabilised], [pilot]
    neighbours = neighbours if passes else ()
    first = 0.2 if neighbours else 0.1
    for k, neighbour in enumerate(neighbours):
        start, end = (0.1 + (first - 0.1) * part / len(neighbours) for part in (k, k + 1))
        other = noise.stabilise(neighbour)
        convolved = convolve(other - level, eigenpatches[kept])
        its_pilot = yield from report(convolved, at(start), at(end), "pilots of the neighbours")
        if (matched := _match_brightness(other, its_pilot + level, pilot)) is not None:
            frames.append(matched[0])
            pilots.append(matched[1])
    width = min(max(p, NARROWEST), largest_patch(image.shape))
    n_groups: int | None = None
    error: StandardError = partial(pilot_error, noise, pilot, eigenpatches[kept])
    for number in range(passes):
        start, end = (first + (1 - first) * part / passes for part in (number, number + 1))
        middle = (start + end) / 2
        name, last = f"pass {number + 1} of {passes}", number == passes - 1
        found = group_patches(frames, pilots, width, noise, filter_kernel, seed, n_groups)
        stacks = yield from report(found, at(start), at(middle), f"{name}: groups")
        n_groups = len(stacks.sizes)
        # The neighbours are only denoised for the next pass.
        times = [at(t) for t in np.linspace(middle, end, 2 if last else 1 + len(frames)).tolist()]
        keep_deviations = last and deviations == "keep"
        grouped_by, mask = pilots[0], np.zeros_like(pilots[0])
        placed = times[1] - RESTORING * (times[1] - times[0])
        projected = project_alike(stabilised, grouped_by, stacks, consensus=keep_deviations)
        denoised, consensus = yield from report(
            projected, times[0], placed, f"{name}: reconstruction"
        )
        if consensus is not None:
            variance = noise.stabilised_variance(consensus)
            restored = restore_deviations(
                stabilised, denoised, consensus, variance, filter_kernel, p
            )
            denoised, mask = yield from report(restored, placed, times[1], f"{name}: deviations")
        error = partial(alike_error, noise, denoised, grouped_by, stacks, mask, filter_kernel)
        yield AlikeStep(
            fraction=times[1],
            message=f"{name}: {n_groups} groups of alike patches of {width} px",
            image=result(denoised),
            stack=1 + number,
            patch_size=width,
            n_groups=n_groups,
            deviations=float(mask.mean()),
            **_basis(stacks),
            **common,
        )
        pilots[0] = denoised
        for k in range(1, len(times) - 1):
            projected = project_alike(frames[k], pilots[k], stacks)
            pilots[k], _ = yield from report(
                projected, times[k], times[k + 1], f"{name}: neighbours"
            )
    return error


def _match_brightness(frame: Image, pilot: Image, reference: Image) -> tuple[Image, Image] | None:
    """Match a stabilised frame and its pilot to another pilot.

    Otherwise bleaching and a flickering beam would separate alike patches.  The counts cannot be
    scaled instead: an empty pixel stays empty, so that the mean of a dark area would be wrong.

    Parameters
    ----------
    frame, pilot, reference : (m, n) float32 array

    Returns
    -------
    frame, pilot : (m, n) float32 array
        With mean and standard deviation of the pilot as those of `reference`.  None if they differ
        so much that the frame shows something else.
    """
    spread = float(pilot.std())
    factor = float(reference.std()) / spread if spread > 0 else np.inf
    if not 1 / LARGEST_CHANGE < factor < LARGEST_CHANGE:
        return None
    offset = float(reference.mean()) - factor * float(pilot.mean())
    return np.float32(factor) * frame + np.float32(offset), (
        np.float32(factor) * pilot + np.float32(offset)
    )


def _basis(stacks: AlikeStacks) -> dict[str, Any]:
    """Return the shared basis of the groups in the form of a `StackStep`."""
    n = float(stacks.sizes.sum())
    return {
        "eigenpatches": stacks.eigenpatches,
        "singular_values": np.sqrt(np.maximum(stacks.variances, 0) * n),
        "noise_floor": float(np.sqrt(n)),
        "utilities": (stacks.variances / (stacks.variances + 1)).astype(np.float32),
        "kept": np.ones(len(stacks.variances), bool),
    }
