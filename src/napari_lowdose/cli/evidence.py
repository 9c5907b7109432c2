"""Commands that tell how far a result can be trusted."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import typer

from napari_lowdose.cli.messages import (
    UNSUITABLE,
    error_line,
    print_message,
    print_warnings,
    progress_bar,
)
from napari_lowdose.frames import frame_index

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_lowdose.frames import Index
    from napari_lowdose.imaging.poisson_gaussian import PoissonGaussian
    from napari_lowdose.io.tiff import ImageFile

CHANNELS = ("significance", "not supported by the data", "residual")


def evidence_file(
    image: Path,
    result: Path,
    output: Path,
    *,
    frame: int | None,
    noise: str | None,
    threshold: float | None,
    overwrite: bool,
) -> int:
    """Write the evidence for a result as a TIFF with three channels.

    Parameters
    ----------
    image, result, output : Path
    frame : int, optional
        Frame of a movie.
    noise : str, optional
        Gain, offset and read noise; by default they are estimated.
    threshold : float, optional
        Standard errors.
    overwrite : bool

    Returns
    -------
    int
        Exit code: 0, or 2 if the files cannot be compared.
    """
    from napari_lowdose.evidence import evidence
    from napari_lowdose.io.readers import read_image
    from napari_lowdose.io.tiff import write_tiff

    try:
        known = parse_noise(noise)
        _check_tiff(output, (image, result), overwrite)
        with print_warnings(str(image)):
            raw = read_image(image)
            denoised = read_image(result)
            found = evidence(
                one_frame(raw, frame), one_frame(denoised, frame), known, threshold=threshold
            )
        stack = np.stack([found.significance, found.unsupported, found.residual], dtype=np.float32)
        record = {
            "source": [image.name, result.name],
            "evidence": {
                "channels": list(CHANNELS),
                "threshold": found.threshold,
                "psf_width": found.psf_width,
                "noise": [found.noise.gain, found.noise.offset, found.noise.read_noise],
            },
        }
        write_tiff(output, stack, _like(raw, stack, "CYX"), record=record, overwrite=overwrite)
    except Exception as error:
        print_message(f"{image} + {result}: {error_line(error)}")
        return UNSUITABLE
    typer.echo(f"{image} + {result} -> {output}: {found}")
    return 0


def standard_error_file(
    image: Path,
    output: Path,
    engine: Any,
    *,
    frame: int | None,
    overwrite: bool,
) -> int:
    """Write the standard error of each pixel of a result as a TIFF.

    Parameters
    ----------
    image, output : Path
    engine : Reucid
    frame : int, optional
        Frame of a movie.
    overwrite : bool

    Returns
    -------
    int
        Exit code: 0, or 2 if it cannot be computed.
    """
    from napari_lowdose.io.readers import read_image
    from napari_lowdose.io.tiff import write_tiff
    from napari_lowdose.standard_error import standard_error_steps

    try:
        _check_tiff(output, (image,), overwrite)
        error = None
        with print_warnings(str(image)), progress_bar(str(image)) as show_progress:
            raw = read_image(image)
            for step in standard_error_steps(one_frame(raw, frame), engine):
                show_progress(step)
                error = step.image
        assert error is not None  # the last step has the standard error
        record = {"source": image.name, "standard_error": engine.about()}
        write_tiff(output, error, _like(raw, error, "YX"), record=record, overwrite=overwrite)
    except Exception as reason:
        print_message(f"{image}: {error_line(reason, image)}")
        return UNSUITABLE
    typical = float(np.sqrt(np.nanmean(np.square(error))))
    typer.echo(f"{image} -> {output}: standard error {typical:.3g} (root mean square)")
    return 0


def survival_of_file(
    image: Path,
    engine: Any,
    *,
    at: Sequence[str],
    contrast: float,
    n: int,
    frame: int | None,
    noise: str | None,
    seed: int,
) -> int:
    """Print the fraction of a planted change that survives denoising.

    Parameters
    ----------
    image : Path
    engine : Engine
    at : sequence of str
        Positions, "y,x".
    contrast : float
        Change, as a fraction of the contrast of the site.
    n : int
        Number of noise draws for each site.
    frame : int, optional
        Frame of a movie.
    noise : str, optional
        Gain, offset and read noise; by default they are estimated.
    seed : int

    Returns
    -------
    int
        Exit code: 0, or 2 if it cannot be measured.
    """
    from napari_lowdose.engine import map_yields, run_to_end
    from napari_lowdose.io.readers import read_image
    from napari_lowdose.survival import survival_steps

    try:
        sites = [_numbers(text, 2, "--at takes Y,X") for text in at]
        known = parse_noise(noise)
        with print_warnings(str(image)):
            pixels = one_frame(read_image(image), frame)
            steps = survival_steps(pixels, engine, sites, contrast, n, known, seed)
            with progress_bar(image.name) as show:
                found = run_to_end(map_yields(steps, show))
        for note in found.notes:
            print_message(f"{image}: warning: {note}")
    except Exception as error:
        print_message(f"{image}: {error_line(error, image)}")
        return UNSUITABLE
    typer.echo(f"{image}: {found}")
    return 0


def parse_noise(text: str | None) -> PoissonGaussian | None:
    """Return the noise that "GAIN,OFFSET,READ" describes; None if there is no text."""
    from napari_lowdose.imaging.poisson_gaussian import PoissonGaussian

    if text is None:
        return None
    return PoissonGaussian(*_numbers(text, 3, "--noise takes GAIN,OFFSET,READ"))


def _numbers(text: str, n: int, usage: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != n:
        raise ValueError(f"{usage}, not {text!r}.")
    return numbers


def one_frame(image: ImageFile, frame: int | None) -> NDArray[Any]:
    """Return the only frame of an image, or frame `frame` of a movie."""
    return np.asarray(image.pixels[index_of(image, frame)])


def index_of(image: ImageFile, frame: int | None) -> Index:
    """Return the index of the only frame of an image, or of frame `frame` of a movie."""
    leading = image.pixels.shape[:-2]
    n_frames = math.prod(leading)
    if n_frames == 1:
        return (0,) * len(leading)
    if frame is None or not 0 <= frame < n_frames:
        raise ValueError(
            f"{image.source.name} has the shape {image.pixels.shape}: choose one frame of a movie "
            f"with --frame, from 0 to {n_frames - 1}."
        )
    return frame_index(frame, leading)


def _check_tiff(output: Path, sources: Sequence[Path], overwrite: bool) -> None:
    """Raise an error if a TIFF cannot be written, before any work is done."""
    from napari_lowdose.io.atomic import check_file
    from napari_lowdose.io.tiff import check_target
    from napari_lowdose.io.tiff_flavours import TIFF_SUFFIXES

    check_file(output)
    if output.suffix.lower() not in TIFF_SUFFIXES:
        raise ValueError(f"{output}: it is written as a TIFF; use the extension .tif")
    for source in sources:
        check_target(output, source, overwrite=overwrite)


def _like(image: ImageFile, pixels: NDArray[np.float32], axes: str) -> ImageFile:
    """Return an image like the input, of one frame."""
    metadata = {
        key: value
        for key, value in image.options.get("metadata", {}).items()
        if key in ("unit", "Info", "Description", "Name") or key.startswith("PhysicalSize")
    }
    options = {**image.options, "metadata": {**metadata, "axes": axes}}
    return replace(image, pixels=pixels, axes=axes, options=options)
