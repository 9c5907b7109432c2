"""Command line interface: ``napari-lowdose reucid IN.tif -o OUT.tif``."""

from __future__ import annotations

import inspect
import io
import logging
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from napari_lowdose.cli.files import UNSUITABLE, denoise_files, denoise_pairs, split_file
from napari_lowdose.cli.messages import PROGRAM, say, sentence
from napari_lowdose.cli.options import engine_from, engine_options
from napari_lowdose.noise2noise import Noise2Noise, Noise2NoiseModel
from napari_lowdose.noise2noise.config import PresetName
from napari_lowdose.reucid import Reucid

T = TypeVar("T")

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
        help="A .tif (or .ome.tif) for one image, or a .zarr that is written frame by frame; a "
        "folder for several images, created if needed.",
        show_default=False,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing results.")]
First = Annotated[
    Path,
    typer.Argument(
        metavar="FIRST", help="First exposure, or a folder of them.", show_default=False
    ),
]
Second = Annotated[
    Path,
    typer.Argument(
        metavar="SECOND",
        help="Second exposure of the same scene, or a folder with files of the same names.",
        show_default=False,
    ),
]
SaveModel = Annotated[
    Path | None,
    typer.Option(
        "--save-model",
        metavar="M",
        help="Save the network as M, a .safetensors file; a folder for several pairs.",
    ),
]
_NO_OPTIONS = ("preview", "start", "pixel_size", "pixel_unit")  # --continue, and from the files
Continue = Annotated[
    Path | None, typer.Option("--continue", metavar="M", help="Continue training the network in M.")
]


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
        command = _pair_command if engine.takes == "pair" else _command
        app.command(name)(command(engine))
    app.command("apply")(apply)
    app.command("split")(split)
    return app


def main() -> None:
    """Run the command line; the entry point ``napari-lowdose``."""
    for stream in (sys.stdout, sys.stderr):  # a file name may not be text that can be printed
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # Users see one line for each file that fails and for each warning; messages of libraries
    # for programmers are left out.
    logging.getLogger().addHandler(logging.NullHandler())
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    app(prog_name=PROGRAM)


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
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Options before the command."""


def _command(engine: type[Any]) -> Callable[..., None]:
    def command(inputs: Inputs, output: Output, overwrite: Overwrite = False, **given: Any) -> None:
        built = _built(lambda: engine_from(engine, given), output)
        _end(denoise_files(inputs, output, built, overwrite))

    command.__doc__ = inspect.cleandoc(engine.__doc__ or "").partition("\n\n")[0]
    return _with_options(command, engine_options(engine))


def _pair_command(engine: type[Any]) -> Callable[..., None]:
    names = {"PresetName": PresetName}

    def command(
        first: First,
        second: Second,
        output: Output,
        save_model: SaveModel = None,
        continue_: Continue = None,
        overwrite: Overwrite = False,
        **given: Any,
    ) -> None:
        if continue_ is not None:
            given["start"] = _network(continue_)
        built = _built(lambda: engine_from(engine, given, names), output)
        _end(denoise_pairs(first, second, output, built, overwrite, save_model))

    command.__doc__ = inspect.cleandoc(engine.__doc__ or "").partition("\n\n")[0]
    return _with_options(command, engine_options(engine, _NO_OPTIONS, names))


def apply(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A network saved by pair.", show_default=False)
    ],
    inputs: Inputs,
    output: Output,
    overwrite: Overwrite = False,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.", metavar="NAME")
    ] = "auto",
) -> None:
    """Apply a trained network to images and movies of the same kind."""
    network = replace(_network(model), device=device)
    _end(denoise_files(inputs, output, network, overwrite))


def split(
    frame: Annotated[
        Path, typer.Argument(metavar="FRAME", help="Camera frame or movie.", show_default=False)
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FOLDER", help="Folder for the two views.", show_default=False
        ),
    ],
    layout: Annotated[
        str, typer.Option(help="auto, side-by-side, above.", metavar="NAME")
    ] = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Split a beamsplitter's camera frame, or movie, into the two views of the scene."""
    _end(split_file(frame, output, layout.replace("-", " "), overwrite))


def _network(path: Path) -> Noise2NoiseModel:
    return _built(lambda: Noise2NoiseModel.load(path), path)


def _built(build: Callable[[], T], about: Path) -> T:
    """Return what `build` makes, or end with one line."""
    try:
        return build()
    except (ValueError, TypeError, OSError) as error:
        where = f"{about}: " if isinstance(error, OSError) else ""
        say(where + sentence(error, about))
        raise typer.Exit(UNSUITABLE) from None


def _end(code: int) -> None:
    if code:
        raise typer.Exit(code)


def _with_options(
    command: Callable[..., None], options: list[inspect.Parameter]
) -> Callable[..., None]:
    """Put the options of an engine in the place of ``**given``, where typer looks for them."""
    own = inspect.signature(command, eval_str=True).parameters.values()
    parameters = [
        *(p.replace(kind=p.KEYWORD_ONLY) for p in own if p.kind is not p.VAR_KEYWORD),
        *options,
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


app = build_app(reucid=Reucid, pair=Noise2Noise)
