"""Labelled eigenpatches of one specimen, for a range of doses, noise kinds and patch sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from napari_lowdose import Reucid
from napari_lowdose.reucid.classifier import normalise, prepare
from napari_lowdose.reucid.patch_size import WIDTHS, wide_patch
from napari_lowdose.reucid.psf_width import psf_width
from napari_lowdose.reucid.teaching.error_of_choice import ErrorOfChoice, best_in_hindsight
from training.labels import (
    contributions,
    decompose,
    error_of_choice,
    noise_floor,
    plain_rule,
)
from training.noise import GAUSSIAN, add_noise, scan_noise
from training.specimens import specimen

NOISE_KINDS = ("white", "row", "white", "row", "drift", "white", "row", "blurred")
ORIENTED = ("row", "drift")  # noise along the scan direction: must not be rotated by 90 degrees
PEAKS = (1.5, 600)  # expected electrons at the maximum of the specimen, log-uniform
CROP = 256  # pixels
COMPONENTS = {"psf": Reucid.n_components, "wide": WIDTHS * Reucid.n_components}

ScanNoise = Literal["remove", "keep", "either"]


@dataclass(frozen=True)
class Example:
    """The decomposition of a noisy image, with the best choice of eigenpatches in hindsight.

    Attributes
    ----------
    specimen : str
        A key of `training.specimens.SPECIMENS`.
    scan_noise : {"remove", "keep", "either"}
        Treatment of scan noise for which the label holds; "either" if there is none.
    noise : str
        One of `NOISE_KINDS`.
    peak : float
        Expected electrons at the maximum of the specimen.
    patch : {"psf", "wide"}
        Patch size.
    patches : (k, 25, 25) float16 array
        Eigenpatches, prepared for the network.
    values : (k,) float32 array
        Normalised singular values.
    label : (k,) bool array
        The best choice in hindsight.
    weight : (k,) float32 array
        Cost of a wrong decision: the relative change of the squared error.
    error : ErrorOfChoice
        Mean squared error of any choice.
    peak_value : float
        Maximum of the truth, for the PSNR.
    plain : (k,) bool array
        The choice of the plain rule.
    """

    specimen: str
    scan_noise: ScanNoise
    noise: str
    peak: float
    patch: str
    patches: np.ndarray
    values: np.ndarray
    label: np.ndarray
    weight: np.ndarray
    error: ErrorOfChoice
    peak_value: float
    plain: np.ndarray

    def psnr(self, kept: np.ndarray) -> float:
        """Return the PSNR of a choice, in dB; `data_range` is the maximum of the truth."""
        return float(10 * np.log10(self.peak_value**2 / self.error(kept)))


def examples(name: str, *, draws: int, seed: int) -> Iterator[Example]:
    """Simulate noisy images of a specimen and label their eigenpatches.

    An image with scan noise gives two examples: for ``scan_noise="remove"`` the truth is free of
    scan noise, for "keep" it includes the scan noise.
    """
    rng = np.random.default_rng([seed, *name.encode()])
    image = specimen(name).image
    for draw in range(draws):
        corner = [rng.integers(max(n - CROP, 0) + 1) for n in image.shape]
        truth = image[corner[0] : corner[0] + CROP, corner[1] : corner[1] + CROP]
        top = float(truth.max())
        kind = NOISE_KINDS[draw % len(NOISE_KINDS)]
        peak = float(np.exp(rng.uniform(*np.log(PEAKS))))
        gaussian = GAUSSIAN if rng.random() < 0.7 else float(rng.uniform(0.0, 0.1))
        rows = top * scan_noise(
            truth.shape,
            rng,
            row=float(rng.uniform(0.02, 0.12)) if kind == "row" else 0.0,
            drift=float(rng.uniform(0.02, 0.08)) if kind == "drift" else 0.0,
        )
        blurred = float(rng.uniform(0.02, 0.08)) if kind == "blurred" else 0.0
        noisy = rows + add_noise(truth, rng, peak=peak, gaussian=gaussian, blurred=blurred)
        targets = {"remove": truth, "keep": truth + rows} if kind in ORIENTED else {"either": truth}
        psf = psf_width(noisy)
        floor = noise_floor(noisy, psf)
        for patch, p in (("psf", psf), ("wide", wide_patch(psf))):
            stack = decompose(noisy, p, COMPONENTS[patch])
            offset, c = contributions(noisy, stack.eigenpatches)
            for scan, target in targets.items():
                error = error_of_choice(target, offset, c)
                label = best_in_hindsight(error)
                yield Example(
                    specimen=name,
                    scan_noise=scan,
                    noise=kind,
                    peak=peak,
                    patch=patch,
                    patches=prepare(stack.eigenpatches).astype(np.float16),
                    values=normalise(stack.singular_values, stack.noise_floor),
                    label=label,
                    weight=np.abs(error.after_toggling(label) / error(label) - 1).astype(
                        np.float32
                    ),
                    error=error,
                    peak_value=top,
                    plain=plain_rule(noisy, stack, floor),
                )
