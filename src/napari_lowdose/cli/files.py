"""Process files one by one: denoise images, train on pairs, split frames."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from napari_lowdose.batch import FileJob, file_jobs
from napari_lowdose.cli.messages import (
    INTERRUPTED,
    PROGRAM,
    UNSUITABLE,
    bars_hidden,
    error_line,
    print_message,
    print_warnings,
    progress_bar,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_lowdose.engine import Engine
    from napari_lowdose.pairs.split_layout import SplitLayout


def denoise_files(
    inputs: Iterable[Path],
    output: Path,
    engine: Engine,
    overwrite: bool,
    save_model: Path | None = None,
    **options: Any,
) -> int:
    """Denoise files one by one; an error in one file does not stop the others.

    All output paths are checked first: nothing is processed if an output would overwrite an input
    or another output, or cannot be written.

    Parameters
    ----------
    inputs : iterable of Path
        Files and folders.
    output : Path
        A TIFF or ``.zarr`` for one file, else a folder.
    engine : Engine
    overwrite : bool
    save_model : Path, optional
        File of the trained network; a folder if there are several images.
    **options
        Further attributes of `FileJob`: `resume`, `stored`, `compression`.

    Returns
    -------
    int
        Exit code: 0, 2 if any file could not be denoised, 130 after Ctrl-C.
    """
    from napari_lowdose.io.output_files import output_files

    try:
        found = output_files(list(inputs), output)
        targets = [((source,), target) for source, target in found]
        jobs = file_jobs(targets, engine, save_model, overwrite=overwrite, **options)
    except (ValueError, OSError) as error:  # nothing could be started
        print_message(error_line(error, output))
        return UNSUITABLE
    return _run_all(jobs)


def denoise_pairs(
    first: Path,
    second: Path | None,
    output: Path,
    engine: Engine,
    overwrite: bool,
    save_model: Path | None,
    layout: SplitLayout | None = None,
    **options: Any,
) -> int:
    """Denoise each pair of files, as `denoise_files` does with single files.

    Parameters
    ----------
    first, second : Path
        Two images, two movies, or two folders with the same file names.  With a layout, `second`
        may be None, and `first` is what `SplitLayout.split` splits.
    output : Path
        A TIFF, a ``.zarr``, or a folder.
    engine : Engine
    overwrite : bool
    save_model : Path, optional
        File of the trained network; a folder if there are several pairs.
    layout : SplitLayout, optional
        Layout of the two views, if the exposures are those of a beamsplitter.
    **options
        As for `denoise_files`.

    Returns
    -------
    int
        Exit code, as for `denoise_files`.
    """
    from napari_lowdose.io.output_files import match_files, output_files

    targets: list[tuple[tuple[Path, ...], Path]]
    try:
        if second is not None:
            pairs, alone = match_files(first, second)
            firsts, seconds = zip(*pairs, strict=True)
            found = output_files(list(firsts), output, seconds)
            targets = [(pair, target) for pair, (_, target) in zip(pairs, found, strict=True)]
        elif layout is not None:
            alone = []
            targets = [((source,), target) for source, target in output_files([first], output)]
        else:
            raise ValueError(
                "a pair needs two exposures: give SECOND, or --layout FILE if each frame of FIRST "
                "has two views."
            )
        options |= {"overwrite": overwrite, "layout": layout}
        jobs = file_jobs(targets, engine, save_model, **options)
    except (ValueError, OSError) as error:
        print_message(error_line(error, output))
        return UNSUITABLE
    for path in alone:
        print_message(f"{path}: skipped, no image of this name in the other folder")
    return max(_run_all(jobs), UNSUITABLE if alone else 0)


def split_file(
    source: Path, folder: Path, layout: str, overwrite: bool, save_layout: Path | None = None
) -> int:
    """Split a camera frame or movie into two files and print the shift between the views.

    Parameters
    ----------
    source : Path
    folder : Path
        Output folder of ``NAME_first.tif`` and ``NAME_second.tif``, created if needed.
    layout : str
        "auto", "side-by-side", "above", or the file of a layout.
    overwrite : bool
    save_layout : Path, optional
        File of the layout.

    Returns
    -------
    int
        Exit code: 0, or 2 if the frame could not be split.
    """
    from napari_lowdose.io.atomic import check_writable
    from napari_lowdose.io.readers import read_image
    from napari_lowdose.io.tiff import check_target, write_tiff
    from napari_lowdose.pairs.split import split_frame
    from napari_lowdose.pairs.split_layout import SplitLayout

    targets = [folder / f"{source.stem}_{name}.tif" for name in ("first", "second")]
    try:
        given = _layout(layout)
        for target in targets:
            check_target(target, source, overwrite=overwrite)
            check_writable(target)
        if save_layout is not None:
            _check_layout_file(save_layout, [source, *targets], overwrite)
        with print_warnings(str(source)):
            image = read_image(source)
            *views, found = split_frame(image.pixels, given)
        if save_layout is not None:
            found.save(save_layout)
        folder.mkdir(parents=True, exist_ok=True)
        for target, view, region in zip(targets, views, found.regions, strict=True):
            like = replace(image, pixels=view)
            done = {"source": source.name, "split": {"region": list(region), "shift": found.shift}}
            # Uncompressed: the training reads them through a memory map
            write_tiff(target, view, like, record=done, overwrite=overwrite, compression="none")
    except Exception as error:
        print_message(f"{source}: {error_line(error, source)}")
        return UNSUITABLE
    (dy, dx), (fraction_y, fraction_x) = found.shift, found.fraction
    between = f"--shift={fraction_y:.3f},{fraction_x:.3f}"
    file = save_layout or (Path(layout) if isinstance(given, SplitLayout) else None)
    if file is not None:
        between = f"--layout={file}"
    elif found.affine is not None:
        print_message(f"{source}: save the layout (--save-layout) to use the rotation in 'pair'")
    command = _command_line([PROGRAM, "pair", *map(_as_argument, targets), between, "-o", "OUT"])
    typer.echo(
        f"{source} -> {targets[0]}, {targets[1]}: views {found.axis}, shift {dy:.2f},{dx:.2f} px; "
        f"train with: {command}"
    )
    return 0


def _layout(name: str) -> Any:
    """Return an arrangement of views by its name, or a layout from its file."""
    from napari_lowdose.pairs.split_layout import SplitLayout

    if name in ("auto", "side-by-side", "side by side", "above"):
        return name.replace("-", " ")
    if not Path(name).exists():
        raise ValueError(
            f"--layout takes auto, side-by-side, above, or the file of a layout: there is no {name}"
        )
    return SplitLayout.load(name)


def _check_layout_file(path: Path, others: list[Path], overwrite: bool) -> None:
    from napari_lowdose.io.atomic import check_file
    from napari_lowdose.io.output_files import refuse_side_file

    refuse_side_file(path, "layout", "JSON", ".json", others, overwrite)
    check_file(path)


def _run_all(jobs: list[FileJob]) -> int:
    codes = []
    for job in jobs:  # one at a time: each uses all cores and much memory
        codes.append(_run_one(job))
        if codes[-1] == INTERRUPTED:  # Ctrl-C ends the command, not only this file
            return INTERRUPTED
    return max(codes)


def _run_one(job: FileJob) -> int:
    try:
        _denoise(job)
        typer.echo(f"{job.name} -> {job.line}")
    except KeyboardInterrupt:
        from napari_lowdose.streaming import unfinished_folder

        kept = []
        if job.streamed and (folder := unfinished_folder(job.target)) is not None:
            kept.append(
                f"the finished frames are in {folder}, the same command continues after them"
            )
        kept += [f"saved the network to {path}" for path in job.saved]
        print_message(f"{job.name}: stopped, {'; '.join(kept) or 'no output was written'}")
        return INTERRUPTED
    except Exception as error:  # a file with any content must not stop the next one
        only = job.sources[0] if len(job.sources) == 1 else None  # of two, the line says which
        print_message(f"{job.name}: {error_line(error, only)}")
        return UNSUITABLE
    return UNSUITABLE if job.losses else 0


def _denoise(job: FileJob) -> None:
    """Run a job to the end with a progress bar; print its warnings as they come."""
    printed = 0

    def print_new() -> None:
        nonlocal printed
        for note in job.notes[printed:]:
            print_message(f"{job.name}: warning: {note}")
        printed = len(job.notes)

    try:
        with progress_bar(job.sources[0].name) as show:
            for step in job.steps():
                show(step)
                if printed < len(job.notes):
                    with bars_hidden():
                        print_new()
    finally:
        print_new()
        for loss in job.losses:
            print_message(f"{job.name}: {loss}")


def _as_argument(path: Path) -> str:
    """Return a path as an argument that cannot be mistaken for an option."""
    return os.path.join(".", path) if str(path).startswith("-") else str(path)


def _command_line(words: list[str]) -> str:
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
