"""All measurements of a result at once, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lowdose.blas import on_one_blas_thread
from napari_lowdose.engine import Step, report, rescale_steps, run_to_end
from napari_lowdose.evidence import checked_frame
from napari_lowdose.imaging.poisson_gaussian import checked_noise
from napari_lowdose.inspection.fourier_rings import RingCorrelation, ring_correlation
from napari_lowdose.inspection.gain import (
    Gain,
    measured_gain,
    reucid_of,
    reucid_transfer_steps,
)
from napari_lowdose.inspection.histogram import Histograms, histograms
from napari_lowdose.inspection.noise_curve import NoiseCurve, noise_curve
from napari_lowdose.inspection.pixel_scale import PixelScale
from napari_lowdose.inspection.power_spectrum import PowerSpectrum, power_spectrum
from napari_lowdose.inspection.removed_places import Places, removed_places
from napari_lowdose.inspection.residual import Residual, residual_steps
from napari_lowdose.inspection.residual_spectrum import ResidualSpectrum, residual_spectrum
from napari_lowdose.inspection.verdict import Verdict, verdict
from napari_lowdose.io.arrays import as_image
from napari_lowdose.reucid.noise_checks import noise_is_correlated
from napari_lowdose.reucid.noise_estimate import NoiseEstimate, noise_of
from napari_lowdose.reucid.prepared import prepare
from napari_lowdose.reucid.psf_width import psf_width as estimate_psf_width

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from numpy.typing import NDArray

    from napari_lowdose.imaging.poisson_gaussian import PoissonGaussian
    from napari_lowdose.reucid.kernel import TransferFunction


@dataclass(frozen=True, eq=False)
class Inspection:
    """Measurements of a result; see `inspect_result`.

    Attributes
    ----------
    verdict : Verdict
        The tests of the residual in words.
    places : Places
        Where structure was taken away.
    residual : Residual
        Raw image minus result, in units of the noise.
    residual_spectrum : ResidualSpectrum
    curve : NoiseCurve
        Variance of the residual against intensity.
    spectra : dict of str to PowerSpectrum
        Of "raw", "result", "residual", and "truth" if there is one.
    gain : Gain
        From the raw image to the result.
    transfer : TransferFunction or None
        Transfer function of REUCID with one stack, if the record says that it was REUCID.
    rings : RingCorrelation or None
        Of the two exposures, if there is a second one.
    histograms : Histograms
    noise : PoissonGaussian
    psf_width : int
        Pixels.
    metrics : dict of str to float
        PSNR before and after, if there is a truth; decibels, of the range of the truth.
    scale : PixelScale
    """

    verdict: Verdict
    places: Places
    residual: Residual
    residual_spectrum: ResidualSpectrum
    curve: NoiseCurve
    spectra: dict[str, PowerSpectrum]
    gain: Gain
    transfer: TransferFunction | None
    rings: RingCorrelation | None
    histograms: Histograms
    noise: PoissonGaussian
    psf_width: int
    scale: PixelScale
    metrics: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the verdict, and the resolution if there are two exposures."""
        return "\n".join([str(self.verdict), *([str(self.rings)] if self.rings else [])])


def inspect_result(
    raw: Any,
    result: Any,
    *,
    second: Any = None,
    truth: Any = None,
    noise: PoissonGaussian | None = None,
    pixel_size: float | tuple[float, float] | None = None,
    unit: str | None = None,
    record: Mapping[str, Any] | None = None,
) -> Inspection:
    """Inspect a denoised image: say whether what was removed is noise or structure.

    Parameters
    ----------
    raw : (Y, X) array
        Raw image with finite pixels, any real dtype.  For a pair, its first exposure.
    result : (Y, X) array
        Denoised image, in the grey levels of `raw`.
    second : (Y, X) array, optional
        Another exposure of the same scene, for the Fourier ring correlation.
    truth : (Y, X) array, optional
        The scene without noise, if it is known.
    noise : PoissonGaussian, optional
        Noise of `raw`; by default that of `estimate_noise`.
    pixel_size : float or (float, float), optional
        Height and width of a pixel, in `unit`.
    unit : str, optional
    record : mapping, optional
        Record of the result, from `Run.record()` or the metadata of its layer or file.  For
        REUCID, its transfer function is computed.

    Returns
    -------
    Inspection

    Raises
    ------
    ValueError
        If an image is not a single frame, has NaN or infinite pixels, is constant or smaller than
        16 pixels, or if the shapes differ.

    Examples
    --------
    >>> from napari_lowdose import PoissonGaussian
    >>> from scipy.ndimage import gaussian_filter
    >>> y, x = np.mgrid[:128, :128]
    >>> truth = 20 + 90 * np.exp(-((y % 12 - 6) ** 2 + (x % 12 - 6) ** 2) / 8)
    >>> noise = PoissonGaussian(gain=1, offset=0, read_noise=0)
    >>> raw = noise.draw(truth, np.random.default_rng(0))
    >>> print(inspect_result(raw, truth, noise=noise).verdict.headline)
    What was removed looks like noise.
    >>> print(inspect_result(raw, gaussian_filter(raw, 2), noise=noise).verdict.headline)
    Structure was removed in 1 place.
    """
    return run_to_end(
        inspection_steps(
            raw, result, second=second, truth=truth, noise=noise, pixel_size=pixel_size,
            unit=unit, record=record,
        )
    )  # fmt: skip


def inspection_steps(
    raw: Any,
    result: Any,
    *,
    second: Any = None,
    truth: Any = None,
    noise: PoissonGaussian | None = None,
    pixel_size: float | tuple[float, float] | None = None,
    unit: str | None = None,
    record: Mapping[str, Any] | None = None,
) -> Generator[Step, None, Inspection]:
    """Inspect step by step, as `inspect_result`; stop iterating to cancel.

    Parameters
    ----------
    raw, result, second, truth, noise, pixel_size, unit, record
        See `inspect_result`.

    Yields
    ------
    Step

    Returns
    -------
    Inspection
    """
    scale = PixelScale.of(pixel_size, unit)
    names = {"raw": raw, "result": result, "truth": truth, "second exposure": second}
    given = {
        name: _frame(image, "raw image" if name == "raw" else name)
        for name, image in names.items()
        if image is not None or name in ("raw", "result")
    }
    before, after = given["raw"], given["result"]
    for name, image in given.items():
        if image.shape != before.shape:
            raise ValueError(
                f"The raw image has shape {before.shape} and the {name} {image.shape}: give images "
                "of the same field."
            )
    noise = checked_noise(noise)
    correlated = noise_is_correlated(before)
    if noise is None:
        estimate = on_one_blas_thread(
            noise_of(prepare(np.asarray(as_image(raw))), correlated=correlated)
        )
        noise = yield from report(estimate, 0.0, 0.3, "noise of the raw image")
    yield Step(fraction=0.3, message="PSF width")
    width = estimate_psf_width(before)
    compared = residual_steps(before, after, noise, width)
    residual = yield from rescale_steps(compared, 0.3, 0.6)
    spectrum = residual_spectrum(residual, scale=scale)
    yield Step(fraction=0.65, message="places")
    places = removed_places(residual, spectrum.level)
    curve = noise_curve(before, after, residual)
    words = verdict(spectrum, places, curve, correlated=correlated)
    yield Step(fraction=0.7, message="spectra")
    spectra = {}
    for name, image in {**given, "residual": before - after}.items():
        if name != "second exposure":
            spectra[name] = power_spectrum(image, scale=scale)
            yield Step(fraction=0.75, message="spectra")
    gain = measured_gain(before, after, scale=scale)
    rings = None
    if "second exposure" in given:
        rings = ring_correlation(before, given["second exposure"], scale=scale)
    transfer = None
    if (engine := reucid_of(record or {})) is not None:
        transfer = yield from rescale_steps(_transfer(before, engine, scale), 0.8, 0.97)
    levels = {name: image for name, image in given.items() if name != "second exposure"}
    found = Inspection(
        words, places, residual, spectrum, curve, spectra, gain, transfer, rings,
        histograms(levels), noise, width, scale, _against_truth(given),
    )  # fmt: skip
    yield Step(fraction=1.0, message="done")
    return found


def _frame(image: Any, name: str) -> NDArray[np.float32]:
    checked = checked_frame(image, f"the {name}")
    return np.asarray(checked, np.float32)


def _transfer(
    raw: NDArray[np.float32], engine: Any, scale: PixelScale
) -> Generator[Step, None, TransferFunction | None]:
    try:
        return (yield from reucid_transfer_steps(raw, engine, scale=scale))
    except ValueError:  # the middle of the image is too small for the recorded patches
        return None


def _against_truth(given: Mapping[str, NDArray[np.float32]]) -> dict[str, float]:
    from napari_lowdose.metrics import psnr

    if "truth" not in given:
        return {}
    truth = given["truth"]
    span = float(np.ptp(truth))
    return {f"PSNR of the {name}": psnr(truth, given[name], data_range=span)
            for name in ("raw", "result")}  # fmt: skip


def noise_notes(noise: PoissonGaussian) -> tuple[str, ...]:
    """Return the limits of an estimate of the noise; empty if it is known."""
    return noise.notes if isinstance(noise, NoiseEstimate) else ()
