"""Process files one by one: denoise images, train on pairs, split frames."""

from __future__ import annotations

import math
import os
import shlex
import subprocess
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from napari_lowdose.cli.messages import (
    PROGRAM,
    error_line,
    print_message,
    print_warnings,
    progress_bar,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_lowdose.denoise import Run
    from napari_lowdose.engine import Engine
    from napari_lowdose.io.tiff import ImageFile
    from napari_lowdose.pairs.split_layout import SplitLayout
    from napari_lowdose.streaming import Stream

UNSUITABLE, INTERRUPTED = 2, 130  # exit codes
_NETWORK = ".safetensors"


def denoise_files(
    inputs: Iterable[Path],
    output: Path,
    engine: Engine,
    overwrite: bool,
    save_model: Path | None = None,
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

    Returns
    -------
    int
        Exit code: 0, 2 if any file could not be denoised, 130 after Ctrl-C.
    """
    from napari_lowdose.cli.outputs import output_files

    try:
        found = output_files(list(inputs), output)
        targets = [((source,), target) for source, target in found]
        jobs = _prepared_jobs(targets, engine, overwrite, save_model)
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

    Returns
    -------
    int
        Exit code, as for `denoise_files`.
    """
    from napari_lowdose.cli.outputs import match_files, output_files

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
        jobs = _prepared_jobs(targets, engine, overwrite, save_model)
        for job in jobs:
            job.layout = layout
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
            write_tiff(target, view, like, record=done, overwrite=overwrite)
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
    from napari_lowdose.io.atomic import check_writable

    if path.suffix.lower() != ".json":
        raise ValueError(f"{path}: layouts are saved as JSON files; use the extension .json")
    if any(path.resolve() == other.resolve() for other in others):
        raise ValueError(f"{path}: the layout would overwrite an image; choose another name.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already; choose another name or overwrite it.")
    check_writable(path)


@dataclass
class _Job:
    """One result to compute and write.

    Attributes
    ----------
    sources : tuple of one or two Path
    target : Path
    engine : Engine
    overwrite : bool
    network : Path, optional
        File of the trained network.
    layout : SplitLayout, optional
        Layout of two views, if a single source has both of them.
    saved : list of Path
        Files of saved networks, at most one.
    lost : bool
        Whether anything was not saved at the requested path.
    """

    sources: tuple[Path, ...]
    target: Path
    engine: Engine
    overwrite: bool
    network: Path | None = None
    layout: SplitLayout | None = None
    saved: list[Path] = field(default_factory=list)
    lost: bool = False

    @property
    def name(self) -> str:
        return " + ".join(map(str, self.sources))

    @property
    def streamed(self) -> bool:
        from napari_lowdose.cli.outputs import ZARR

        return self.target.suffix == ZARR

    def check_outputs(self, n_bytes: int = 0) -> None:
        """Raise an error if the result, of `n_bytes`, or the network cannot be written."""
        from napari_lowdose.io.atomic import check_writable
        from napari_lowdose.io.tiff import check_target

        if not self.streamed:
            for source in self.sources:
                check_target(self.target, source, overwrite=self.overwrite)
        if not (self.streamed and self.target.exists()):  # an existing one may be finished
            check_writable(self.target, n_bytes)
        if self.network is not None:
            check_writable(self.network)

    def denoise(self) -> str:
        """Denoise with a progress bar and return the line to print."""
        from napari_lowdose.io.readers import read_image
        from napari_lowdose.io.tiff_flavours import output_format
        from napari_lowdose.io.zarr_folder import add_to_record

        # Once before the input is read, and again with the size of the result.
        self.check_outputs()
        begun = time.perf_counter()
        with print_warnings(self.name) as found_in_files:
            images = [read_image(source) for source in self.sources]
            if self.layout is not None:
                images = _views(images, self.layout)
        self.check_outputs(4 * math.prod(images[0].pixels.shape))
        if not self.streamed and (note := output_format(self.target, images[0]).note):
            print_message(f"{self.name}: warning: {note}")
        with print_warnings(self.name) as about_pixel_size:
            self.engine = self.engine.with_pixel_size(images[0].pixel_size, images[0].unit)
        channels = images[0].axes[:-2].find("C")
        self.engine = self.engine.with_channel_axis(channels if channels >= 0 else None)
        run = _run(images, self)
        try:
            with print_warnings(self.name) as warned:
                records = _run_with_progress(run, self.sources[0].name)
        except (OSError, MemoryError):  # for example a full disk: keep the trained network anyway
            self._save_network(run.model, requested=self.network is not None)
            raise
        except BaseException:  # an interrupted training has a network too
            if self.network is not None:
                self._save_network(run.model)
            raise
        if self.network is not None:
            self._save_network(run.model)
        names = [source.name for source in self.sources]
        source_name = names[0] if len(names) == 1 else names
        warned = list(dict.fromkeys([*found_in_files, *about_pixel_size, *warned]))
        if self.streamed:
            add_to_record(self.target, source=source_name, warnings=warned)
            written = self.target
        else:
            record = {"source": source_name, **run.record(), "warnings": warned}
            written = self._write(run, images[0], record)
        into = " and ".join(map(str, [written, *self.saved]))
        seconds = f"{time.perf_counter() - begun:.1f} s"
        return f"{into}: {', '.join([*self.engine.summary(records, run.model), seconds])}"

    def _write(self, run: Run | Stream, like: ImageFile, record: dict[str, Any]) -> Path:
        """Write the result, to another folder if the requested one fails."""
        from napari_lowdose.cli.outputs import save_elsewhere
        from napari_lowdose.io.tiff import write_tiff

        image = run.image
        try:
            write_tiff(self.target, image, like, record=record, overwrite=self.overwrite)
            return self.target
        except OSError as error:
            found = save_elsewhere(
                self.target,
                self.sources[0],
                lambda path: write_tiff(path, image, like, record=record),
            )
            if not self.saved:
                self._save_network(run.model, requested=False)
            if found is None:
                raise
            self._print_moved("result", error, found)
            return found

    def _save_network(self, model: Any, requested: bool = True) -> None:
        """Save the trained network, to another folder if the requested one fails."""
        from napari_lowdose.cli.outputs import save_elsewhere

        if model is None or (model is self.engine and not requested):
            return
        wanted = self.network or self.target.with_suffix(_NETWORK)
        error: OSError | None = None
        if requested:
            try:
                model.save(wanted)
                self.saved.append(wanted)
                return
            except OSError as refused:
                error = refused
        found = save_elsewhere(wanted, self.sources[0], model.save)
        if found is not None:
            self.saved.append(found)
            self._print_moved("network", error, found)
        elif error is not None:
            self.lost = True
            print_message(f"{self.name}: the network could not be saved ({error_line(error)})")

    def _print_moved(self, what: str, error: OSError | None, found: Path) -> None:
        self.lost = True
        reason = "" if error is None else f" instead: {error_line(error)}"
        print_message(f"{self.name}: saved the {what} to {found}{reason}")


def _views(images: list[ImageFile], layout: SplitLayout) -> list[ImageFile]:
    """Return the two views of a single image; two images are views already."""
    from napari_lowdose.pairs.split import split_frame

    if len(images) == 1:
        views = split_frame(images[0].pixels, layout)[:2]
        return [replace(images[0], pixels=view) for view in views]
    y0, y1, x0, x1 = layout.regions[0]
    found = images[0].pixels.shape[-2:]
    if found != (y1 - y0, x1 - x0):
        raise ValueError(
            f"views of {found[0]} x {found[1]} pixels do not belong to this layout, whose views "
            f"have {y1 - y0} x {x1 - x0}: split the frame with it."
        )
    return images


def _run_all(jobs: list[_Job]) -> int:
    codes = []
    for job in jobs:  # one at a time: each uses all cores and much memory
        codes.append(_run_one(job))
        if codes[-1] == INTERRUPTED:  # Ctrl-C ends the command, not only this file
            return INTERRUPTED
    return max(codes)


def _run_one(job: _Job) -> int:
    try:
        typer.echo(f"{job.name} -> {job.denoise()}")
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
        print_message(f"{job.name}: {error_line(error, job.sources[0])}")
        return UNSUITABLE
    return UNSUITABLE if job.lost else 0


def _prepared_jobs(
    targets: Sequence[tuple[tuple[Path, ...], Path]],
    engine: Engine,
    overwrite: bool,
    save_model: Path | None,
) -> list[_Job]:
    """Return a job for each input and its output file; all are checked, and the folders created."""
    several = len(targets) > 1
    if several and save_model is not None and save_model.suffix.lower() == _NETWORK:
        raise ValueError(
            f"{save_model}: {len(targets)} networks need a folder; give one to --save-model"
        )
    jobs = []
    for sources, target in targets:
        network = save_model
        if several and save_model is not None:
            network = save_model / f"{target.stem}{_NETWORK}"
        jobs.append(_Job(sources, target, engine, overwrite, network))
    images = [path for job in jobs for path in (*job.sources, job.target)]
    for job in jobs:
        if job.network is not None:
            _check_network_file(job.network, images, overwrite, make_folder=several)
    _prepare_folders(jobs)
    return jobs


def _prepare_folders(jobs: list[_Job]) -> None:
    """Create the folders of the results, once all are known to be writable."""
    from napari_lowdose.io.atomic import check_writable

    outputs = {path for job in jobs for path in (job.target, job.network) if path is not None}
    folders = dict.fromkeys(path.parent for path in sorted(outputs))
    # All are checked before the first is created: an error leaves no empty folders.
    for folder in folders:
        check_writable(folder / "x")
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)


def _run(images: list[ImageFile], job: _Job) -> Run | Stream:
    from napari_lowdose.denoise import Run
    from napari_lowdose.frames import ImageOrPair
    from napari_lowdose.io.zarr_folder import attributes_like, in_ome_zarr_order
    from napari_lowdose.streaming import Stream

    if job.streamed:  # OME-Zarr has a fixed order of axes
        images = [in_ome_zarr_order(image) for image in images]
    given = ImageOrPair(tuple(image.pixels for image in images)).given
    if not job.streamed:
        return Run(given, job.engine)
    return Stream(
        given,
        job.engine,
        job.target,
        overwrite=job.overwrite,
        attributes=attributes_like(images[0]),
    )


def _run_with_progress(run: Run | Stream, name: str) -> list[dict[str, Any]]:
    """Run to the end with a progress bar; return the records of the steps."""
    records = []
    with progress_bar(name) as show:
        for step in run:
            show(step)
            if record := step.record():
                records.append({"index": step.index, **record})
    return records


def _check_network_file(
    path: Path, others: Iterable[Path], overwrite: bool, *, make_folder: bool
) -> None:
    if path.suffix.lower() != _NETWORK:
        raise ValueError(
            f"{path}: networks are saved as safetensors files; use the extension .safetensors"
        )
    if not make_folder and not path.parent.is_dir():
        raise ValueError(f"{path}: there is no folder {path.parent}")
    if any(path.resolve() == other.resolve() for other in others):
        raise ValueError(f"{path}: the network would overwrite an image; choose another name.")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give a file name.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already; choose another name or overwrite it.")


def _as_argument(path: Path) -> str:
    """Return a path as an argument that cannot be mistaken for an option."""
    return os.path.join(".", path) if str(path).startswith("-") else str(path)


def _command_line(words: list[str]) -> str:
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
