"""Command that denoises every frame that comes into a folder."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import typer

from napari_lowdose.cli.messages import INTERRUPTED, UNSUITABLE, error_line, print_message
from napari_lowdose.warned import warnings_to

if TYPE_CHECKING:
    from pathlib import Path

    from napari_lowdose.engine import Engine
    from napari_lowdose.live import LiveStep
    from napari_lowdose.live.polled_source import Notice


def watch_files(folder: Path, output: Path, engine: Engine, **options: Any) -> int:
    """Denoise every frame that comes into a folder or a growing stack; print a line for each.

    Parameters
    ----------
    folder : Path
    output : Path
        ``.zarr``.
    engine : Engine
    **options
        As for `watch_folder`.

    Returns
    -------
    int
        Exit code: 0, 2 if any file could not be read or denoised, 130 after Ctrl-C.
    """
    from napari_lowdose.live import watch_folder

    log = _Log(folder, output)
    try:
        _check_paths(folder, output)
        with (
            warnings_to(log.warning),
            closing(watch_folder(folder, output, engine, tell=log.notice, **options)) as steps,
        ):
            for step in steps:
                log.step(step)
    except KeyboardInterrupt:
        log.end("stopped")
        return INTERRUPTED
    except Exception as error:  # for example a full disk
        print_message(error_line(error, output))
        return UNSUITABLE
    log.end("no new frame came")
    return UNSUITABLE if log.failed else 0


class _Log:
    """Lines that are printed, one for each frame and each problem.

    Parameters
    ----------
    folder, output : Path

    Attributes
    ----------
    failed : bool
        Whether any frame could not be read or denoised.
    """

    def __init__(self, folder: Path, output: Path) -> None:
        from napari_lowdose.io.output_files import ZARR  # slow, and --help does not need it
        from napari_lowdose.io.zarr_folder import is_zarr

        is_stack = folder.suffix == ZARR or is_zarr(folder) or folder.is_file()
        self._folder, self._output = folder, output
        self._place = folder.parent if is_stack else folder
        self._before = 0.0  # when the frame before was finished
        self._of_frame: list[str] = []  # warnings of the frame that is being denoised
        self._warned: dict[str, None] = {}  # all warnings, in order
        self.failed = False

    def notice(self, notice: Notice) -> None:
        """Print what the source has to say."""
        self.failed |= notice.given_up
        print_message(notice.text)

    def step(self, step: LiveStep) -> None:
        """Print what became of a frame."""
        name = self._place / step.frame.name
        if step.image is None:
            self.failed = True
            print_message(f"{name}: {step.message}")
        else:
            seconds = step.finished - max(step.frame.arrived, self._before)
            typer.echo(f"{name} -> {self._output}: {seconds:.1f} s")
            self._of_frame += [step.message] if step.message else []
        warned = dict.fromkeys(self._of_frame)
        for text in warned:
            print_message(f"{name}: warning: {text}")
        self._warned |= warned
        self._of_frame.clear()
        self._before = step.finished

    def warning(self, text: str) -> None:
        """Keep a warning of the frame that is being denoised."""
        self._of_frame.append(text)

    def end(self, reason: str) -> None:
        """Print what is written, once the output is closed."""
        from napari_lowdose.io.zarr_folder import add_to_record, read_zarr

        if not self._output.exists():
            self.failed = True
            print_message(f"{self._folder}: {reason}, no output was written")
            return
        if self._warned:
            add_to_record(self._output, source=self._folder.name, warnings=list(self._warned))
        n_frames = read_zarr(self._output).pixels.shape[0]
        print_message(
            f"{self._folder}: {reason}, {n_frames} frames are in {self._output}; the same command "
            "continues after them"
        )


def _check_paths(folder: Path, output: Path) -> None:
    folder.stat()  # raises the system's error if there is none
    if not output.parent.is_dir():
        raise ValueError(f"{output}: there is no folder {output.parent}")
