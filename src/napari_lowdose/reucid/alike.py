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

from napari_lowdose.engine import Step, report, run_to_end
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
LARGEST_DRIFT = 1.2  # of the brightness of successive frames
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
    for neighbour in neighbours if passes else ():
        frames.append(noise.stabilise(neighbour))
        pilots.append(run_to_end(convolve(frames[-1] - level, eigenpatches[kept])) + level)
        yield Step(fraction=at(0.1), message="pilots of the neighbouring frames")
    width = min(max(p, NARROWEST), largest_patch(image.shape))
    denoised = pilot
    error: StandardError = partial(pilot_error, noise, pilot, eigenpatches[kept])
    for number in range(passes):
        start, end = 0.1 + 0.9 * number / passes, 0.1 + 0.9 * (number + 1) / passes
        name, last = f"pass {number + 1} of {passes}", number == passes - 1
        found = group_patches(frames, [denoised, *pilots[1:]], width, noise, seed)
        stacks = yield from report(found, at(start), at((start + end) / 2), f"{name}: groups")
        keep_deviations = last and deviations == "keep"
        grouped_by, mask = denoised, np.zeros_like(denoised)
        placed_twice = project_alike(stabilised, denoised, stacks, consensus=keep_deviations)
        denoised, consensus = yield from report(
            placed_twice, at((start + end) / 2), at(end), f"{name}: reconstruction"
        )
        if consensus is not None:
            denoised, mask = restore_deviations(
                stabilised,
                denoised,
                consensus,
                noise.stabilised_variance(consensus),
                filter_kernel,
                p,
            )
        error = partial(alike_error, noise, denoised, grouped_by, stacks, mask, filter_kernel)
        for k in range(1, 1 if last else len(frames)):
            placed_twice = project_alike(frames[k], pilots[k], stacks)
            pilots[k], _ = yield from report(placed_twice, at(end), at(end), f"{name}: neighbours")
        yield AlikeStep(
            fraction=at(end),
            message=f"{name}: {len(stacks.sizes)} groups of alike patches of {width} px",
            image=result(denoised),
            stack=1 + number,
            patch_size=width,
            n_groups=len(stacks.sizes),
            deviations=float(mask.mean()),
            **_basis(stacks),
            **common,
        )
    return error


def match_brightness(
    frame: NDArray[Any], reference: NDArray[Any], noise: NoiseEstimate
) -> NDArray[Any]:
    """Scale a frame to the brightness of its neighbour, so that bleaching does not divide groups.

    Parameters
    ----------
    frame, reference : (m, n) array
        Grey levels.
    noise : NoiseEstimate

    Returns
    -------
    (m, n) array
        The frame unchanged if the brightness jumps by more than a fifth: the scene is another one.
    """
    mean, wanted = (float(each.mean(dtype=np.float64)) for each in (frame, reference))
    if noise.gain == 0:
        return frame + np.float32(wanted - mean)
    dark = noise.offset
    factor = (wanted - dark) / (mean - dark) if mean > dark else 1.0
    if not 1 / LARGEST_DRIFT < factor < LARGEST_DRIFT:
        return frame
    return ((frame - dark) * factor + dark).astype(np.float32)


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
