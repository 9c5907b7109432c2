"""Check and register the chosen layers, in steps for a thread."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_lowdose.engine import Step, map_yields
from napari_lowdose.movie_pairs import all_frames, checked_movie, usable_frames
from napari_lowdose.noise2noise.warm_start import load_torch_for_interface
from napari_lowdose.widgets.layers import add_pair, not_raw_error
from napari_lowdose.widgets.result_layer import placement

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from napari.components import LayerList
    from napari.layers import Image

    from napari_lowdose.imaging.poisson_gaussian import PoissonGaussian
    from napari_lowdose.movie_pairs import PairsOf
    from napari_lowdose.noise2noise.pair_checks import PairNote
    from napari_lowdose.pairs.register import Registration
    from napari_lowdose.pairs.register_stack import StackRegistration
    from napari_lowdose.pairs.view_map import Matrix

FRACTION = (
    "The frames were registered at whole pixels: fractions of a pixel remain between them, and "
    "blur the finest detail."
)
REGISTERED = "napari-lowdose registered"  # in the metadata of a registered movie
NOT_COUNTS = "counts"  # kind of the finding that an image does not hold counts


@dataclass(frozen=True, kw_only=True)
class PairCheckStep(Step):
    """Findings on a pair.

    Attributes
    ----------
    notes : tuple of PairNote
    exposures : mapping from str to float
        Statistics of the first exposure from `about_exposures`; empty if it is unusable.
    noise : PoissonGaussian or None
        Of an image that holds no counts.
    """

    notes: tuple[PairNote, ...]
    exposures: dict[str, float] = field(default_factory=dict)
    noise: PoissonGaussian | None = None


def pair_check_steps(
    first: Any,
    second: Any,
    shift: tuple[float, float],
    files: Mapping[str, str | None] | None = None,
    affine: Matrix | None = None,
) -> Iterator[PairCheckStep]:
    """Check a pair; only a few frames of lazy arrays (dask) are read.

    Parameters
    ----------
    first, second : (..., Y, X) array
    shift : (float, float)
        Known shift (dy, dx) of the second exposure against the first, pixels.
    files : mapping from str to str, optional
        File of each layer, by the name of the layer.
    affine : 2 x 3 matrix, optional
        Known map from the first exposure to the second, in place of the shift.
    """
    from napari_lowdose.noise2noise.exposure_statistics import about_exposures
    from napari_lowdose.noise2noise.pair_checks import check_pair

    notes = _result_notes(files)
    notes += [
        # A smooth partner may be intended in a script; here it is most likely a mistake
        replace(note, level="refuse") if note.kind == "smooth" else note
        for note in check_pair(first, second, shift, affine)
    ]
    unusable = any(note.kind in ("unusable", "shape") for note in notes)
    about = {} if unusable else about_exposures(np.asarray(first[(0,) * (first.ndim - 2)]))
    yield from _checked(notes, about)


def movie_check_steps(
    movie: Any, pairs: PairsOf, files: Mapping[str, str | None], registered: bool = False
) -> Iterator[Step]:
    """Check the pairs of a movie; only a few frames of lazy arrays (dask) are read.

    Parameters
    ----------
    movie : (T, ..., Y, X) array
    pairs : {"neighbours", "even-odd"}
    files : mapping from str to str
        File of the layer, by its name.
    registered : bool
        Whether the frames were registered at whole pixels already.
    """
    from napari_lowdose.noise2noise.pair_checks import PairNote

    movie = checked_movie(movie)
    frames = all_frames(movie)
    if isinstance(movie, np.ndarray) and not isinstance(movie, np.memmap):
        frames = yield from map_yields(
            usable_frames(movie), lambda done: Step(fraction=done / 2, message="checking")
        )
    left_out = [PairNote("note", frames.sentence, "frames")] if frames.left_out else []
    try:
        first, second = frames.paired(movie, pairs)
    except ValueError as error:
        yield from _checked([PairNote("refuse", str(error), "unusable")], {})
        return
    for step in pair_check_steps(first, second, (0.0, 0.0), files):
        notes = [
            replace(note, kind="fraction", message=FRACTION, shift=None)
            if registered and note.shift is not None
            else note
            for note in step.notes
        ]
        yield replace(step, notes=(*notes, *left_out))


def counted_check_steps(
    image: Any,
    noise: PoissonGaussian | Literal["estimate"] | None,
    files: Mapping[str, str | None],
) -> Iterator[PairCheckStep]:
    """Check whether the noise of an image can be divided; the first frame is read.

    Parameters
    ----------
    image : (..., Y, X) array
    noise : PoissonGaussian, "estimate" or None
        None for counts.
    files : mapping from str to str
        File of the layer, by its name.
    """
    from napari_lowdose.imaging.image_checks import check_pixels
    from napari_lowdose.noise2noise.exposure_statistics import about_exposures
    from napari_lowdose.noise2noise.pair_checks import PairNote
    from napari_lowdose.noise2noise.valid_pixels import COARSEST, SMALLEST
    from napari_lowdose.reucid.noise_estimate import estimate_noise
    from napari_lowdose.thinning import thin, why_not_thin
    from napari_lowdose.warned import ignore, warnings_to

    notes = _result_notes(files)
    about: dict[str, float] = {}
    found: PoissonGaussian | None = None
    frame = np.asarray(image[(0,) * (image.ndim - 2)])
    try:
        check_pixels(frame, SMALLEST, COARSEST)
    except ValueError as error:
        yield from _checked([*notes, PairNote("refuse", str(error), "unusable")], about)
        return
    with warnings_to(ignore):
        if noise is None:
            if reason := why_not_thin(frame):
                sentence = f"{reason} Set the noise to 'estimated', or use REUCID."
                notes.append(PairNote("refuse", sentence, NOT_COUNTS))
            else:
                about = about_exposures(thin(frame)[0])  # as in the record of its network
        else:
            found = estimate_noise(frame) if isinstance(noise, str) else noise
            if reason := why_not_thin(frame, found):
                notes.append(PairNote("refuse", reason, "unusable"))
            elif isinstance(noise, str):
                sentence = (
                    f"Estimated: {found.gain:.3g} grey levels per count, offset "
                    f"{found.offset:.3g}, read noise {found.read_noise:.2g}. The division of grey "
                    "levels is approximate."
                )
                notes.append(PairNote("note", sentence, "noise of the image"))
    for step in _checked(notes, about):
        yield replace(step, noise=found)


def _checked(notes: list[PairNote], about: dict[str, float]) -> Iterator[PairCheckStep]:
    found = PairCheckStep(fraction=0.5, message="checked", notes=tuple(notes), exposures=about)
    yield found
    # While the user reads the notes, so that the first preview comes sooner
    load_torch_for_interface().join()
    yield replace(found, fraction=1.0)


def _result_notes(files: Mapping[str, str | None] | None) -> list[PairNote]:
    """Refuse the layers whose files are results."""
    from napari_lowdose.noise2noise.pair_checks import PairNote

    results = [name for name, path in (files or {}).items() if _is_result_file(path)]
    return [PairNote("refuse", not_raw_error(name), "result") for name in results]


def _is_result_file(path: str | None) -> bool:
    """Whether a TIFF was denoised by this package, according to its metadata."""
    from napari_lowdose.io.tiff import read_tiff

    if path is None or Path(path).suffix.lower() not in (".tif", ".tiff"):
        return False
    with suppress(OSError, ValueError):  # a folder, or a compression that needs another reader
        return any("engine" in record for record in read_tiff(path).history)
    return False


@dataclass(frozen=True, kw_only=True)
class RegisterStep(Step):
    """Two registered exposures.

    Attributes
    ----------
    first, second : (..., Y, X) arrays
        Cropped to the common area; lazy if the input was lazy.
    registration : Registration
    """

    first: Any
    second: Any
    registration: Registration


def register_steps(first: Any, second: Any) -> Iterator[RegisterStep]:
    """Register two arrays; only a few frames of lazy arrays (dask) are read."""
    from napari_lowdose.pairs.register import register_pair

    one, other, registration = register_pair(first, second)
    yield RegisterStep(
        fraction=1, message="registered", first=one, second=other, registration=registration
    )


def add_registered(
    layers: LayerList, first: Image, second: Image, step: RegisterStep
) -> tuple[Image, Image]:
    """Add two registered arrays as layers, aligned with the first layer.

    Parameters
    ----------
    layers : LayerList
    first, second : Image
        The layers before registration.
    step : RegisterStep

    Returns
    -------
    (Image, Image)
    """
    whole, left = step.registration.integer_shift, step.registration.fraction
    corner = (float(max(0, -whole[0])), float(max(0, -whole[1])))
    behind = (corner[0] - left[0], corner[1] - left[1])
    made = add_pair(
        layers,
        first,
        [
            (
                data,
                f"{layer.name} registered",
                origin,
                {"contrast_limits": layer.contrast_limits, "colormap": layer.colormap},
            )
            for layer, data, origin in ((first, step.first, corner), (second, step.second, behind))
        ],
        left,
        step.registration.affine,
    )
    first.visible = second.visible = False
    return made


@dataclass(frozen=True, kw_only=True)
class RegisterStackStep(Step):
    """A registered movie.

    Attributes
    ----------
    movie : (T, Y, X) array
        Cropped to the common area; lazy if the input was lazy.
    registration : StackRegistration
    """

    movie: Any
    registration: StackRegistration


def register_stack_steps(movie: Any) -> Iterator[RegisterStackStep]:
    """Register the frames of a movie; a lazy one is read frame by frame."""
    from napari_lowdose.pairs.register_stack import register_stack

    cut, registration = register_stack(movie)
    yield RegisterStackStep(fraction=1, message="registered", movie=cut, registration=registration)


def add_registered_movie(layers: LayerList, movie: Image, step: RegisterStackStep) -> Image:
    """Add a registered movie as a layer, in the place of the first frame; return it.

    Parameters
    ----------
    layers : LayerList
    movie : Image
        The layer before registration.
    step : RegisterStackStep
    """
    from napari.layers import Image

    low, first = step.registration.integer_shifts.min(0), step.registration.integer_shifts[0]
    corner = (0.0, *(float(each) for each in first - low))
    layer = Image(
        step.movie,
        name=f"{movie.name} registered",
        multiscale=False,
        contrast_limits=movie.contrast_limits,
        metadata={REGISTERED: True},
        **placement(movie, 3, corner),
    )
    movie.visible = False
    layers.append(layer)
    return layer
