"""One file after the other on the command line: progress, warnings, and what is told in the end."""

from __future__ import annotations

import math
import time
import warnings
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from napari_lowdose.output_files import ZARR, output_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from napari_lowdose.denoise import Run
    from napari_lowdose.imaging.tiff import ImageFile
    from napari_lowdose.noise2noise import Noise2NoiseModel
    from napari_lowdose.steps import Engine
    from napari_lowdose.streaming import Stream

PROGRAM = "napari-lowdose"
UNSUITABLE, INTERRUPTED = 2, 130  # exit codes


def denoise_files(inputs: Iterable[Path], output: Path, engine: Engine, overwrite: bool) -> int:
    """Denoise files one after the other; a bad one does not stop the others.

    Nothing is begun if a result would replace one of the inputs, or another result.

    Parameters
    ----------
    inputs : iterable of Path
        Files and folders.
    output : Path
        A TIFF or ``.zarr`` for one file, else a folder.
    engine : Engine
    overwrite : bool

    Returns
    -------
    int
        The exit code: 0, 2 if any file could not be denoised, 130 after Ctrl-C.
    """
    try:
        jobs = output_files(list(inputs), output)
        jobs[0][1].parent.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as error:  # nothing could be started
        say(sentence(error, output))
        return UNSUITABLE
    codes = []
    for source, target in jobs:
        codes.append(_one_result((source,), target, engine, overwrite))
        if codes[-1] == INTERRUPTED:
            return INTERRUPTED
    return max(codes)


def denoise_pair(
    first: Path,
    second: Path,
    output: Path,
    engine: Engine,
    overwrite: bool,
    save_model: Path | None,
) -> int:
    """Train a network on a pair of files, and denoise the pair with it.

    Parameters
    ----------
    first, second : Path
        Of the two exposures, or of two movies.
    output : Path
        A TIFF, a ``.zarr``, or a folder.
    engine : Engine
    overwrite : bool
    save_model : Path, optional
        Where to keep the network.

    Returns
    -------
    int
        The exit code, as of `denoise_files`.
    """
    try:
        ((_, target),) = output_files([first], output, [second])
        if save_model is not None:
            _check_network_file(save_model, (first, second, target), overwrite)
        target.parent.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as error:
        say(sentence(error, output))
        return UNSUITABLE
    return _one_result((first, second), target, engine, overwrite, save_model)


def split_file(source: Path, folder: Path, layout: str, overwrite: bool) -> int:
    """Split a camera frame, or movie, into two files, and tell the shift between the views.

    Parameters
    ----------
    source : Path
    folder : Path
        Made if missing; takes ``NAME_first.tif`` and ``NAME_second.tif``.
    layout : str
        As `split_frame` takes it.
    overwrite : bool

    Returns
    -------
    int
        The exit code: 0, or 2 if it could not be split.
    """
    from napari_lowdose.imaging.split import split_frame
    from napari_lowdose.imaging.tiff import check_target, write_tiff

    targets = [folder / f"{source.stem}_{name}.tif" for name in ("first", "second")]
    try:
        if layout not in ("auto", "side by side", "above"):
            raise ValueError("--layout takes auto, side-by-side or above.")
        for target in targets:
            check_target(target, source, overwrite=overwrite)
        image = _read(source)
        with _engine_warnings(str(source)):
            *views, found = split_frame(image.pixels, layout)  # type: ignore[arg-type]
        folder.mkdir(parents=True, exist_ok=True)
        for target, view, region in zip(targets, views, found.regions, strict=True):
            like = replace(image, pixels=view)
            done = {"source": source.name, "split": {"region": list(region), "shift": found.shift}}
            write_tiff(target, view, like, record=done, overwrite=overwrite)
    except (ValueError, OSError, MemoryError) as error:
        say(f"{source}: {sentence(error, source)}")
        return UNSUITABLE
    (dy, dx), (fraction_y, fraction_x) = found.shift, found.fraction
    typer.echo(
        f"{source} -> {targets[0]}, {targets[1]}: views {found.axis}, shift {dy:.2f},{dx:.2f} px; "
        f"train with: {PROGRAM} pair {targets[0]} {targets[1]} "
        f"--shift={fraction_y:.3f},{fraction_x:.3f} -o OUT"
    )
    return 0


def _one_result(
    sources: tuple[Path, ...],
    target: Path,
    engine: Engine,
    overwrite: bool,
    save_model: Path | None = None,
) -> int:
    name = " + ".join(map(str, sources))
    try:
        typer.echo(f"{name} -> {_denoise(sources, target, engine, overwrite, save_model)}")
    except (ValueError, OSError, MemoryError) as error:
        say(f"{name}: {sentence(error, sources[0])}")
        return UNSUITABLE
    except KeyboardInterrupt:
        kept = target.suffix == ZARR and target.exists()
        what = "nothing was written for it"
        if kept:
            what = f"the finished frames are in {target}, the same command goes on after them"
        say(f"{name}: stopped, {what}")
        return INTERRUPTED
    return 0


def _denoise(
    sources: tuple[Path, ...],
    target: Path,
    engine: Engine,
    overwrite: bool,
    save_model: Path | None,
) -> str:
    """Denoise one file or pair, with a progress bar, and return what to tell of it."""
    from napari_lowdose.imaging.tiff import check_target, write_tiff
    from napari_lowdose.imaging.zarr_folder import add_to_record

    streamed = target.suffix == ZARR
    for source in sources:
        if not streamed:
            check_target(target, source, overwrite=overwrite)
    begun = time.perf_counter()
    images = [_read(source) for source in sources]
    engine = _at_pixel_size(engine, images[0])
    run = _run(images, engine, target if streamed else None, overwrite)
    told = _Told()
    try:
        with _engine_warnings(" + ".join(map(str, sources))) as warned:
            _check_pixel_size(engine, images[0])
            _with_progress(run, sources[0].name, told)
    finally:  # a training that is interrupted has a network, too
        if save_model is not None and run.model is not None:
            run.model.save(save_model)
    names = [source.name for source in sources]
    source_name = names[0] if len(names) == 1 else names
    if streamed:
        add_to_record(target, source=source_name, warnings=warned)
    else:
        record = {"source": source_name, **run.record(), "warnings": warned}
        write_tiff(target, run.image, images[0], record=record, overwrite=overwrite)
    into = f"{target} and {save_model}" if save_model is not None else str(target)
    seconds = f"{time.perf_counter() - begun:.1f} s"
    return f"{into}: {', '.join([*told.choices(), *_training(run.model, engine), seconds])}"


def _read(path: Path) -> ImageFile:
    from napari_lowdose.imaging.readers import read_image
    from napari_lowdose.imaging.zarr_folder import read_zarr

    return read_zarr(path) if path.suffix == ZARR else read_image(path)


def _at_pixel_size(engine: Engine, image: ImageFile) -> Engine:
    """Let a network that is trained on `image` remember its pixel size."""
    from napari_lowdose.noise2noise import Noise2Noise

    if not isinstance(engine, Noise2Noise):
        return engine
    return replace(engine, pixel_size=image.pixel_size, pixel_unit=image.unit)


def _check_pixel_size(engine: Engine, image: ImageFile) -> None:
    """Warn of a network that was trained at another pixel size."""
    from napari_lowdose.noise2noise import Noise2NoiseModel, pixel_size_warning

    if isinstance(engine, Noise2NoiseModel):
        warning = pixel_size_warning(engine, image.pixel_size, image.unit)
        if warning is not None:
            warnings.warn(warning, UserWarning, stacklevel=2)


def _run(
    images: list[ImageFile], engine: Engine, folder: Path | None, overwrite: bool
) -> Run | Stream:
    from napari_lowdose.denoise import Run
    from napari_lowdose.image_or_pair import ImageOrPair
    from napari_lowdose.imaging.zarr_folder import attributes_like
    from napari_lowdose.streaming import Stream

    pixels = tuple(image.pixels for image in images)
    given = ImageOrPair(pixels).given
    if folder is None:
        return Run(given, engine)
    attributes = attributes_like(images[0])
    return Stream(given, engine, folder, overwrite=overwrite, attributes=attributes)


def _with_progress(run: Run | Stream, name: str, told: _Told) -> None:
    from tqdm import tqdm

    layout = "{desc}: {percentage:3.0f}% |{bar}|{postfix}"
    step: Any
    with tqdm(total=1.0, desc=name, bar_format=layout, leave=False, disable=None) as bar:
        for step in run:
            told_now = ", ".join(filter(None, [step.time_left, step.message]))
            bar.set_postfix_str(told_now, refresh=False)
            bar.update(step.fraction - bar.n)
            if hasattr(step, "kept"):  # a patch stack is finished
                told.add(step)


def _training(model: Noise2NoiseModel | None, engine: Engine) -> list[str]:
    """Tell how far a network was trained in this run, and what it gains."""
    if model is None or model is engine:
        return []
    from napari_lowdose.noise2noise.training_step import how_far

    told = [how_far(model.record["epochs"], model.record["n_steps"])]
    if gain := model.record.get("gain_db"):
        from napari_lowdose.noise2noise.gain_interval import GainInterval

        limits = (math.copysign(math.inf, sign) if x is None else x
                  for x, sign in zip(gain, (-1, 1), strict=True))  # fmt: skip
        told.append(f"gain {GainInterval(*limits)}")
    return told


def _check_network_file(path: Path, others: Iterable[Path], overwrite: bool) -> None:
    if path.suffix.lower() != ".safetensors":
        raise ValueError(f"{path}: networks are safetensors files, name it .safetensors")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: there is no folder {path.parent}")
    if any(path.resolve() == other.resolve() for other in others):
        raise ValueError(f"{path}: the network would replace an image; choose another name.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already; choose another name or overwrite it.")


@contextmanager
def _engine_warnings(name: str) -> Iterator[list[str]]:
    """Collect what an engine warns of, and tell it in the end, once each and in one line."""
    told: list[str] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            yield told
    finally:
        # Engines speak to people by UserWarning; the other categories are for programmers.
        found = (w.message for w in caught if issubclass(w.category, UserWarning))
        told += dict.fromkeys(" ".join(str(message).split()) for message in found)
        for message in told:
            say(f"{name}: warning: {message}")


class _Choice(NamedTuple):
    """What is told of a patch stack; of a long movie the rest would fill the memory."""

    frame: tuple[int, ...]
    patch_size: int
    kept: Sequence[bool]


class _Told:
    """The patch sizes and how many eigenpatches were kept, over all patch stacks."""

    def __init__(self) -> None:
        self._stacks: list[_Choice] = []

    def add(self, step: Any) -> None:
        """Remember a `StackStep`."""
        self._stacks.append(_Choice(step.index, step.patch_size, step.kept))

    def choices(self) -> list[str]:
        """Return what to tell."""
        stacks = self._stacks
        if not stacks:
            return []
        kept = [[number for number, keep in enumerate(step.kept) if keep] for step in stacks]
        told = f"kept {_span(map(len, kept))} of {_span(len(s.kept) for s in stacks)} eigenpatches"
        frames = len({step.frame for step in stacks})
        if len(stacks) == 1:
            told += f" ({_ranges(kept[0])})"
        elif frames == 1:
            told += f" in each of {len(stacks)} patch stacks"
        else:
            told += f" in each patch stack of {frames} frames"
        return [f"patch {_span(step.patch_size for step in stacks)} px", told]


def _span(numbers: Iterable[int]) -> str:
    found = sorted(set(numbers))
    return str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"


def _ranges(numbers: list[int]) -> str:
    """Write 0 1 2 5 as 0-2 5."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return " ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def say(message: str) -> None:
    """Tell a person, in one line."""
    typer.echo(f"{PROGRAM}: {message}", err=True)


def sentence(error: BaseException, source: Path) -> str:
    """Return one line for a person."""
    if isinstance(error, MemoryError):
        return "there is not enough memory for this image"
    if isinstance(error, FileExistsError) and error.strerror is None:
        return f"{error} (--overwrite)"
    if isinstance(error, OSError) and error.strerror:
        about = error.filename if error.filename is not None else source
        return error.strerror if str(about) == str(source) else f"{error.strerror}: {about}"
    return " ".join(str(error).split())
