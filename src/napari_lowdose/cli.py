"""The command line: ``napari-lowdose reucid IN.tif -o OUT.tif``."""

from __future__ import annotations

import inspect
import logging
import sys
import time
import warnings
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from napari_lowdose.engine_options import engine_from, engine_options
from napari_lowdose.output_files import output_files
from napari_lowdose.reucid import Reucid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from napari_lowdose.steps import Engine

PROGRAM = "napari-lowdose"
UNSUITABLE, INTERRUPTED = 2, 130  # exit codes

Inputs = Annotated[
    list[Path],
    typer.Argument(metavar="IN...", help="Images, or folders of images.", show_default=False),
]
Output = Annotated[
    Path,
    typer.Option(
        "-o",
        "--output",
        metavar="OUT",
        help="A .tif for one image, a folder for several; the folder is made if missing.",
        show_default=False,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results that exist already.")]


def build_app(**engines: type[Any]) -> typer.Typer:
    """Return the command line with one command for each engine.

    Parameters
    ----------
    **engines : dataclass
        Command names and the engines that they run.

    Returns
    -------
    typer.Typer
    """
    app = typer.Typer(
        name=PROGRAM,
        help="Denoise low-dose microscope images without inventing structure.",
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
    )
    app.callback()(_options)
    for name, engine in engines.items():
        app.command(name)(_command(engine))
    return app


def main() -> None:
    """Run the command line; the entry point ``napari-lowdose``."""
    # What a user should see is one line for each file that fails, and for each warning of an
    # engine: what libraries say to programmers is left out.
    logging.getLogger().addHandler(logging.NullHandler())
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    app(prog_name=PROGRAM)


def denoise_files(inputs: Iterable[Path], output: Path, engine: Engine, overwrite: bool) -> int:
    """Denoise files one after the other; a bad one does not stop the others.

    Nothing is begun if a result would replace one of the inputs, or another result.

    Parameters
    ----------
    inputs : iterable of Path
        Files and folders.
    output : Path
        A TIFF for one file, else a folder.
    engine : Engine
    overwrite : bool

    Returns
    -------
    int
        The exit code: 0, 2 if any file could not be denoised, 130 after Ctrl-C.
    """
    failed = False
    source = output
    try:
        jobs = output_files(list(inputs), output)
        jobs[0][1].parent.mkdir(parents=True, exist_ok=True)
        for source, target in jobs:
            try:
                typer.echo(_denoise_file(source, target, engine, overwrite))
            except (ValueError, OSError, MemoryError) as error:
                failed = True
                _say(f"{source}: {_sentence(error, source)}")
    except (ValueError, OSError) as error:  # nothing could be started
        _say(_sentence(error, output))
        return UNSUITABLE
    except KeyboardInterrupt:
        _say(f"{source}: stopped, nothing was written for it")
        return INTERRUPTED
    return UNSUITABLE if failed else 0


def _print_version(wanted: bool) -> None:
    if not wanted:
        return
    try:
        typer.echo(f"{PROGRAM} {version(PROGRAM)}")
    except PackageNotFoundError:  # a source tree that was never installed
        typer.echo(f"{PROGRAM} (not installed)")
    raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Say which version this is and stop.",
        ),
    ] = False,
) -> None:
    """Take the options that stand before the command."""


def _command(engine: type[Any]) -> Callable[..., None]:
    def command(inputs: Inputs, output: Output, overwrite: Overwrite = False, **given: Any) -> None:
        try:
            built = engine_from(engine, given)
        except (ValueError, TypeError) as error:
            _say(_sentence(error, output))
            raise typer.Exit(UNSUITABLE) from None
        if code := denoise_files(inputs, output, built, overwrite):
            raise typer.Exit(code)

    own = inspect.signature(command, eval_str=True).parameters.values()
    parameters = [
        *(p.replace(kind=p.KEYWORD_ONLY) for p in own if p.kind is not p.VAR_KEYWORD),
        *engine_options(engine),
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    command.__doc__ = inspect.cleandoc(engine.__doc__ or "").partition("\n\n")[0]
    return command


def _denoise_file(source: Path, target: Path, engine: Engine, overwrite: bool) -> str:
    """Denoise one file, with a progress bar, and return what to tell of it."""
    from tqdm import tqdm

    from napari_lowdose.denoise import Run
    from napari_lowdose.imaging.readers import read_image
    from napari_lowdose.imaging.tiff import check_target, write_tiff

    check_target(target, source, overwrite=overwrite)
    start = time.perf_counter()
    image = read_image(source)
    run = Run(image.pixels, engine)
    stacks: list[_Choice] = []
    step: Any
    layout = "{desc}: {percentage:3.0f}% |{bar}| {remaining} left{postfix}"
    with (
        _engine_warnings(source) as warned,
        tqdm(total=1.0, desc=source.name, bar_format=layout, leave=False, disable=None) as bar,
    ):
        for step in run:
            bar.set_postfix_str(step.message, refresh=False)
            bar.update(step.fraction - bar.n)
            if hasattr(step, "kept"):  # a patch stack is finished
                stacks.append(_Choice(step.index, step.patch_size, step.kept))
    record = {"source": source.name, **run.record(), "warnings": warned}
    write_tiff(target, run.image, image, record=record, overwrite=overwrite)
    told = [*_choices(stacks), f"{time.perf_counter() - start:.1f} s"]
    return f"{source} -> {target}: {', '.join(told)}"


@contextmanager
def _engine_warnings(source: Path) -> Iterator[list[str]]:
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
            _say(f"{source}: warning: {message}")


class _Choice(NamedTuple):
    """What is told of a patch stack; of a long movie the rest would fill the memory."""

    frame: tuple[int, ...]
    patch_size: int
    kept: Sequence[bool]


def _choices(stacks: list[_Choice]) -> list[str]:
    """Tell the patch sizes and how many eigenpatches were kept, over all patch stacks."""
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


def _say(message: str) -> None:
    typer.echo(f"{PROGRAM}: {message}", err=True)


def _sentence(error: BaseException, source: Path) -> str:
    """Return one line for a person."""
    if isinstance(error, MemoryError):
        return "there is not enough memory for this image"
    if isinstance(error, FileExistsError) and error.strerror is None:
        return f"{error} (--overwrite)"
    if isinstance(error, OSError) and error.strerror:
        about = error.filename if error.filename is not None else source
        return error.strerror if Path(about) == source else f"{error.strerror}: {about}"
    return " ".join(str(error).split())


app = build_app(reucid=Reucid)
