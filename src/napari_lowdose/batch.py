"""Denoise files one by one, for the command line and the viewer: one code path for both."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from napari_lowdose.engine import Step, within
from napari_lowdose.error_line import error_line
from napari_lowdose.warned import noted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from napari_lowdose.denoise import Run
    from napari_lowdose.engine import Engine
    from napari_lowdose.io.tiff import Compression, ImageFile
    from napari_lowdose.pairs.split_layout import SplitLayout
    from napari_lowdose.streaming import Stream

NETWORK = ".safetensors"
StoredType = Literal["float32", "input"]
REQUEST = "request"  # key in the record of a result
BESIDE = "_denoised"  # end of the name of a result in the folder of its input


@dataclass
class FileJob:
    """One result to compute and write.

    Attributes
    ----------
    sources : tuple of one or two Path
    target : Path
    engine : Engine
    overwrite : bool
        Replace an existing result.
    resume : bool
        Skip a result that exists, if it is that of the same engine, parameters and input.
    network : Path, optional
        File of the trained network.
    layout : SplitLayout, optional
        Layout of two views, if a single source has both of them.
    stored : {"float32", "input"}
        dtype of a TIFF; "input" rounds to the integers of the input.
    compression : {"zlib", "none"}
        Of a TIFF.
    images : list of ImageFile
        The input, if it is no file.
    saved : list of Path
        Files of saved networks, at most one.
    notes : list of str
        Warnings about this file, in the order of their appearance.
    losses : list of str
        What was saved elsewhere, or not at all.
    line : str
        Summary of the finished job, in one line.
    """

    sources: tuple[Path, ...]
    target: Path
    engine: Engine
    overwrite: bool = False
    resume: bool = False
    network: Path | None = None
    layout: SplitLayout | None = None
    stored: StoredType = "float32"
    compression: Compression = "zlib"
    images: list[ImageFile] = field(default_factory=list)
    saved: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    line: str = ""

    @property
    def name(self) -> str:
        """The names of the inputs."""
        return " + ".join(map(str, self.sources))

    @property
    def streamed(self) -> bool:
        """Whether the result is written frame by frame."""
        from napari_lowdose.io.output_files import ZARR

        return self.target.suffix == ZARR

    def check_outputs(self, n_bytes: int = 0) -> None:
        """Raise an error if the result, of `n_bytes`, or the network cannot be written.

        Raises
        ------
        ValueError, OSError
        """
        from napari_lowdose.io.atomic import check_writable
        from napari_lowdose.io.tiff import check_target

        if not self.streamed:
            for source in self.sources:
                check_target(self.target, source, overwrite=self.overwrite)
        if not (self.streamed and self.target.exists()):  # an existing one may be finished
            check_writable(self.target, n_bytes)
        if self.network is not None:
            check_writable(self.network)

    def is_finished(self) -> bool:
        """Whether the result exists, of the same engine, parameters and unchanged input."""
        from napari_lowdose.io.tiff import read_tiff

        if self.streamed or not self.target.is_file():  # a .zarr continues by itself
            return False
        try:
            with noted([]):
                history = read_tiff(self.target).history
        except (OSError, ValueError):
            return False
        return bool(history) and history[-1].get(REQUEST) == self.request()

    def request(self) -> str:
        """Return a digest of what is asked for: engine, parameters, layout, input, dtype."""
        from napari_lowdose.streaming.hashes import engine_identity

        files = [path.stat() for path in self.sources if path.is_file()]
        asked = {
            "engine": engine_identity(self.engine),
            "layout": self.layout and asdict(self.layout),
            "sources": [path.name for path in self.sources],
            "files": [(found.st_size, found.st_mtime_ns) for found in files],
            "stored": self.stored,
        }
        text = json.dumps(asked, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def steps(self) -> Iterator[Step]:
        """Read, denoise and write; whoever stops iterating gets no result.

        Yields
        ------
        Step
            The first one before anything is read, then those of the run.

        Raises
        ------
        ValueError, OSError, MemoryError
            If the file cannot be denoised, or the result cannot be written.
        """
        begun = time.perf_counter()
        if self.resume and self.is_finished():
            self.line = f"{self.target}: finished before"
            yield Step(fraction=1, message="finished before")
            return
        request = self.request()  # before the engine is adapted to the image
        yield Step(fraction=0, message="reading")
        images = self._read()
        run = self._run(images)
        records = []
        try:
            with contextlib.closing(within(lambda: noted(self.notes), iter(run))) as steps:
                for step in steps:
                    if record := step.record():
                        records.append({"index": step.index, **record})
                    yield step
        except (OSError, MemoryError):  # for example a full disk: keep the trained network anyway
            self._save_network(run.model, requested=self.network is not None)
            raise
        except BaseException:  # an interrupted training has a network too
            if self.network is not None:
                self._save_network(run.model)
            raise
        if self.network is not None:
            self._save_network(run.model)
        parts = self.engine.summary(records, run.model)
        written = self._write(run, images[0], request, parts)
        into = " and ".join(map(str, [written, *self.saved]))
        parts.append(f"{time.perf_counter() - begun:.1f} s")
        self.line = f"{into}: {', '.join(parts)}"

    def _read(self) -> list[ImageFile]:
        """Read the input, and adapt the engine to its pixel size and channels."""
        from napari_lowdose.io.readers import read_image
        from napari_lowdose.io.tiff_flavours import output_format

        # Once before the input is read, and again with the size of the result.
        self.check_outputs()
        if self.streamed and self.stored == "input":
            raise ValueError("a .zarr holds float32: name the result .tif to store integers.")
        with noted(self.notes):
            images = list(self.images) or [read_image(source) for source in self.sources]
            if self.layout is not None:
                images = _views(images, self.layout)
        first = images[0]
        self.check_outputs(4 * math.prod(first.pixels.shape))
        if not self.streamed and (note := output_format(self.target, first).note):
            self.notes.append(note)
        with noted(self.notes):
            self.engine = self.engine.with_pixel_size(first.pixel_size, first.unit)
        channels = first.axes[:-2].find("C")
        self.engine = self.engine.with_channel_axis(channels if channels >= 0 else None)
        return images

    def _run(self, images: list[ImageFile]) -> Run | Stream:
        from napari_lowdose.denoise import Run
        from napari_lowdose.frames import ImageOrPair
        from napari_lowdose.io.zarr_folder import attributes_like, in_ome_zarr_order
        from napari_lowdose.streaming import Stream

        if self.streamed:  # OME-Zarr has a fixed order of axes
            images = [in_ome_zarr_order(image) for image in images]
        given = ImageOrPair(tuple(image.pixels for image in images)).given
        if not self.streamed:
            return Run(given, self.engine)
        return Stream(
            given,
            self.engine,
            self.target,
            overwrite=self.overwrite,
            attributes=attributes_like(images[0]),
        )

    def _write(self, run: Run | Stream, like: ImageFile, request: str, parts: list[str]) -> Path:
        """Write the result, to another folder if the requested one fails; add to the summary."""
        from napari_lowdose.io.output_files import save_elsewhere
        from napari_lowdose.io.rounded import rounded_like
        from napari_lowdose.io.tiff import write_tiff
        from napari_lowdose.io.zarr_folder import add_to_record

        names = [source.name for source in self.sources]
        source_name = names[0] if len(names) == 1 else names
        if self.streamed:
            add_to_record(self.target, source=source_name, warnings=self.notes)
            return self.target
        record = {"source": source_name, **run.record(), "warnings": self.notes, REQUEST: request}
        image, rounded = run.image, self.stored == "input"
        if rounded:
            image, note = rounded_like(image, like.pixels)
            if note:
                parts.append(note)
                record["stored"] = note

        def write(path: Path, overwrite: bool = False) -> None:
            write_tiff(
                path,
                image,
                like,
                record=record,
                overwrite=overwrite,
                compression=self.compression,
                rounded=rounded,
            )

        try:
            write(self.target, self.overwrite)
            return self.target
        except OSError as error:
            found = save_elsewhere(self.target, self.sources[0], write)
            if not self.saved:
                self._save_network(run.model, requested=False)
            if found is None:
                raise
            self._note_moved("result", error, found)
            return found

    def _save_network(self, model: Any, requested: bool = True) -> None:
        """Save the trained network, to another folder if the requested one fails."""
        from napari_lowdose.io.output_files import save_elsewhere

        if model is None or (model is self.engine and not requested):
            return
        wanted = self.network or self.target.with_suffix(NETWORK)
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
            self._note_moved("network", error, found)
        elif error is not None:
            self.losses.append(f"the network could not be saved ({error_line(error)})")

    def _note_moved(self, what: str, error: OSError | None, found: Path) -> None:
        reason = "" if error is None else f" instead: {error_line(error)}"
        self.losses.append(f"saved the {what} to {found}{reason}")


def file_jobs(
    targets: Sequence[tuple[tuple[Path, ...], Path]],
    engine: Engine,
    save_model: Path | None = None,
    **options: Any,
) -> list[FileJob]:
    """Return a job for each input and its output file; all are checked, and the folders created.

    Parameters
    ----------
    targets : sequence of (tuple of Path, Path)
        Inputs (one, or the two of a pair) and output file, see `output_files`.
    engine : Engine
    save_model : Path, optional
        File of the trained network; a folder if there are several images.
    **options
        Further attributes of `FileJob`.

    Returns
    -------
    list of FileJob

    Raises
    ------
    ValueError, OSError
        If an output cannot be written; no folder is created then.
    """
    several = len(targets) > 1
    if several and save_model is not None and save_model.suffix.lower() == NETWORK:
        raise ValueError(
            f"{save_model}: {len(targets)} networks need a folder; give one to --save-model"
        )
    jobs = []
    for sources, target in targets:
        network = save_model
        if several and save_model is not None:
            network = save_model / f"{target.stem}{NETWORK}"
        jobs.append(FileJob(sources, target, engine, network=network, **options))
    images = [path for job in jobs for path in (*job.sources, job.target)]
    for job in jobs:
        if job.network is not None:
            _check_network_file(job.network, images, job.overwrite, make_folder=several)
    _prepare_folders(jobs)
    return jobs


@dataclass(frozen=True)
class BatchStep:
    """A step of one file among several.

    Attributes
    ----------
    fraction : float
        Fraction of all files that is done, 0 to 1.
    number : int
        Number of the file, counted from 0.
    state : {"running", "done", "failed"}
    share : float
        Fraction of this file that is done, 0 to 1.
    message : str
        What is being done; the summary; or the reason, one sentence.
    time_left : str
        Of this file; empty if unknown.
    """

    fraction: float
    number: int
    state: Literal["running", "done", "failed"]
    share: float
    message: str
    time_left: str = ""


def batch_steps(jobs: Sequence[FileJob]) -> Iterator[BatchStep]:
    """Denoise files one after the other; an error in one does not stop the others.

    Parameters
    ----------
    jobs : sequence of FileJob

    Yields
    ------
    BatchStep
        The last one of each file is "done" or "failed".

    Examples
    --------
    >>> import pathlib, tempfile, numpy as np, tifffile
    >>> from napari_lowdose import Reucid
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> image = np.random.default_rng(0).poisson(50, (64, 64)).astype(np.uint16)
    >>> tifffile.imwrite(folder / "a.tif", image)
    >>> _ = (folder / "b.tif").write_text("no image")
    >>> targets = [((folder / name,), folder / "clean" / name) for name in ("a.tif", "b.tif")]
    >>> jobs = file_jobs(targets, Reucid(patch_size=7))
    >>> [step.state for step in batch_steps(jobs) if step.state != "running"]
    ['done', 'failed']
    """
    n = len(jobs)
    for number, job in enumerate(jobs):  # one at a time: each uses all cores and much memory
        try:
            with contextlib.closing(job.steps()) as steps:  # type: ignore[type-var]
                for step in steps:
                    done = (number + min(step.fraction, 0.999)) / n
                    left = step.time_left
                    yield BatchStep(done, number, "running", step.fraction, step.message, left)
        except Exception as error:  # a file with any content must not stop the next one
            reason = error_line(error, job.sources[0])
            yield BatchStep((number + 1) / n, number, "failed", 1, reason)
        else:
            yield BatchStep((number + 1) / n, number, "done", 1, job.line)


def beside(source: Path) -> Path:
    """Return the path of a result in the folder of its input.

    Examples
    --------
    >>> from pathlib import Path
    >>> beside(Path("data/a.dm4")).as_posix(), beside(Path("movie.ome.tif")).as_posix()
    ('data/a_denoised.tif', 'movie_denoised.ome.tif')
    """
    from napari_lowdose.io.tiff_flavours import TIFF_SUFFIXES

    suffix = source.suffix if source.suffix.lower() in TIFF_SUFFIXES else ".tif"
    stem = source.stem
    if stem.lower().endswith(".ome"):
        stem, suffix = stem[:-4], f"{stem[-4:]}{suffix}"
    return source.with_name(f"{stem}{BESIDE}{suffix}")


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


def _prepare_folders(jobs: list[FileJob]) -> None:
    """Create the folders of the results, once all are known to be writable."""
    from napari_lowdose.io.atomic import check_writable

    outputs = {path for job in jobs for path in (job.target, job.network) if path is not None}
    folders = dict.fromkeys(path.parent for path in sorted(outputs))
    # All are checked before the first is created: an error leaves no empty folders.
    for folder in folders:
        check_writable(folder / "x")
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)


def _check_network_file(
    path: Path, others: Iterable[Path], overwrite: bool, *, make_folder: bool
) -> None:
    from napari_lowdose.io.atomic import check_file
    from napari_lowdose.io.output_files import refuse_side_file

    refuse_side_file(path, "network", "safetensors", NETWORK, others, overwrite)
    if not make_folder:
        check_file(path)
