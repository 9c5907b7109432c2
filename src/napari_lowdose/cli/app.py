"""Command line interface: ``napari-lowdose reucid IN.tif -o OUT.tif``."""

from __future__ import annotations

import functools
import inspect
import io
import logging
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from napari_lowdose.cli.evidence import (
    evidence_file,
    parse_noise,
    standard_error_file,
    survival_of_file,
)
from napari_lowdose.cli.files import denoise_files, denoise_pairs, split_file
from napari_lowdose.cli.inspection import inspect_files
from napari_lowdose.cli.messages import PROGRAM, UNSUITABLE, error_line, print_message
from napari_lowdose.cli.options import (
    engine_from,
    engine_options,
    stored_options,
    take_stored,
)
from napari_lowdose.cli.watch import watch_files
from napari_lowdose.movie_pairs import MoviePairs
from napari_lowdose.noise2noise import Noise2Noise, Noise2NoiseModel
from napari_lowdose.noise2noise.config import PresetName
from napari_lowdose.reucid import Reucid
from napari_lowdose.thinning import Thinned, network_engine

if TYPE_CHECKING:
    from napari_lowdose.pairs.split_layout import SplitLayout

T = TypeVar("T")

Inputs = Annotated[
    list[Path],
    typer.Argument(metavar="IN", help="Image files or folders of images.", show_default=False),
]
Output = Annotated[
    Path,
    typer.Option(
        "-o",
        "--output",
        metavar="OUT",
        help="Output file, .tif, .ome.tif or .zarr; for several images a folder, created if "
        "needed. A .zarr is written frame by frame, for movies larger than memory.",
        show_default=False,
    ),
]
Model = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Trained network to use instead of REUCID.", show_default=False
    ),
]
Frame = Annotated[
    int | None,
    typer.Option("--frame", metavar="N", help="Frame of a movie or stack, counted from 0."),
]
Noise = Annotated[
    str | None,
    typer.Option(
        "--noise",
        metavar="GAIN,OFFSET,READ",
        help="Grey levels per electron or photon, grey level of zero electrons, and standard "
        "deviation of the read noise; by default they are estimated.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Overwrite existing output files.")]
First = Annotated[
    Path,
    typer.Argument(
        metavar="FIRST", help="First exposure, or a folder of first exposures.", show_default=False
    ),
]
Second = Annotated[
    Path | None,
    typer.Argument(
        metavar="[SECOND]",
        help="Second exposure of the same scene, or a folder of second exposures with the same "
        "file names. Left out with --layout, if FIRST holds both views.",
        show_default=False,
    ),
]
Layout = Annotated[
    Path | None,
    typer.Option(
        "--layout",
        metavar="FILE",
        help="Layout of the two views of a beamsplitter, saved by 'split --save-layout': its shift "
        "and rotation are used.",
        show_default=False,
    ),
]
SaveModel = Annotated[
    Path | None,
    typer.Option(
        "--save-model",
        metavar="FILE",
        help="Save the trained network to FILE (.safetensors); for several pairs a folder.",
    ),
]
# Fields of engines that train: `start` is --continue, `affine` is in the file of --layout, the
# pixel size comes from the files, and there is no preview.
_NO_OPTIONS = ("preview", "start", "pixel_size", "pixel_unit", "affine")
_NOT_OF_COUNTED = (*_NO_OPTIONS, "shift", "use", "every", "normalise")
_NOT_OF_MOVIE = (*_NO_OPTIONS, "shift", "use", "context")
_NAMES = {"PresetName": PresetName}  # noise2noise imports it for type checking only
Continue = Annotated[
    Path | None,
    typer.Option("--continue", metavar="FILE", help="Continue the training of a saved network."),
]


def build_app(**engines: type[Any]) -> typer.Typer:
    """Build the command line with one command per engine.

    Parameters
    ----------
    **engines : dataclass
        Engine class of each command.  One that takes a pair gets two input arguments.

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
        # typer cuts its own short help off in the middle of a sentence
        app.command(name, short_help=_summary(engine))(_command(engine))
    app.command("apply")(_with_options(apply, stored_options()))
    app.command("split")(split)
    app.command("watch", short_help="Denoise every frame that comes into a folder.")(
        _with_options(watch, engine_options(Reucid))
    )
    app.command("counted", short_help="Train a network on one counted image, and denoise it.")(
        _with_options(
            counted, [*stored_options(), *engine_options(Noise2Noise, _NOT_OF_COUNTED, _NAMES)]
        )
    )
    app.command("inspect", short_help="Write a report: is what was removed noise, or structure?")(
        inspect_result
    )
    app.command("movie", short_help="Train a network on the frames of a movie, and denoise it.")(
        _with_options(
            movie, [*stored_options(), *engine_options(Noise2Noise, _NOT_OF_MOVIE, _NAMES)]
        )
    )
    app.command("evidence")(evidence)
    app.command("standard-error", short_help="Tell the noise that is left in each pixel.")(
        _with_options(standard_error, engine_options(Reucid))
    )
    app.command("survival", short_help="Plant a change and measure how much of it survives.")(
        _with_options(survival, engine_options(Reucid))
    )
    return app


def main() -> None:
    """Run the command line; the entry point ``napari-lowdose``."""
    for stream in (sys.stdout, sys.stderr):  # file names may contain bytes that cannot be printed
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # Users see one line per failed file and per warning.  Log messages and warnings of libraries
    # are for programmers.
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
    """Handle the options before the command."""


def _summary(engine: type[Any]) -> str:
    """Return the first sentence of the docstring of an engine."""
    return " ".join(inspect.cleandoc(engine.__doc__ or "").partition("\n\n")[0].split())


def _command(engine: type[Any]) -> Callable[..., None]:
    """Return the command of an engine; one that trains can save and continue its model."""

    def build(given: dict[str, Any], output: Path, model: Path | None) -> Any:
        built = _built(lambda: engine_from(engine, given, _NAMES), output)
        if model is None:
            return built
        start = _built(lambda: built.load_model(model), model)
        return _built(lambda: replace(built, start=start), output)

    def image_command(
        inputs: Inputs,
        output: Output,
        save_model: SaveModel = None,
        continue_: Continue = None,
        overwrite: Overwrite = False,
        **given: Any,
    ) -> None:
        stored = _built(lambda: take_stored(given), output)
        built = build(given, output, continue_)
        _end(denoise_files(inputs, output, built, overwrite, save_model, **stored))

    def pair_command(
        first: First,
        output: Output,
        second: Second = None,
        layout: Layout = None,
        save_model: SaveModel = None,
        continue_: Continue = None,
        overwrite: Overwrite = False,
        **given: Any,
    ) -> None:
        stored = _built(lambda: take_stored(given), output)
        built = build(given, output, continue_)
        views = None if layout is None else _layout(layout)
        if views is not None:
            built = _built(lambda: _with_layout(built, views, given), output)
        _end(denoise_pairs(first, second, output, built, overwrite, save_model, views, **stored))

    command = pair_command if engine.takes == "pair" else image_command
    command.__doc__ = _summary(engine)
    no_layout = () if hasattr(engine, "affine") else ("layout",)
    if engine.trains:
        options = engine_options(engine, _NO_OPTIONS, _NAMES)
        return _with_options(command, [*stored_options(), *options], no_layout)
    without = ("save_model", "continue_", *no_layout)
    options = engine_options(engine, (), _NAMES)
    return _with_options(command, [*stored_options(), *options], without)


def _layout(path: Path) -> SplitLayout:
    from napari_lowdose.pairs.split_layout import SplitLayout

    return _built(lambda: SplitLayout.load(path), path)


def _with_layout(engine: Any, layout: SplitLayout, given: dict[str, Any]) -> Any:
    """Return the engine with the map between the two views of a layout."""
    if given.get("shift") is not None:
        raise ValueError("give --shift or --layout, not both: the layout holds the shift.")
    return replace(engine, shift=layout.fraction, affine=layout.affine)


def apply(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="Network saved with --save-model.", show_default=False
        ),
    ],
    inputs: Inputs,
    output: Output,
    overwrite: Overwrite = False,
    device: Annotated[
        str, typer.Option(help="Device: auto, cpu, cuda, cuda:1 or mps.", metavar="NAME")
    ] = "auto",
    **given: Any,
) -> None:
    """Denoise images with a trained network."""
    stored = _built(lambda: take_stored(given), output)
    network = network_engine(replace(_network(model), device=device))
    _end(denoise_files(inputs, output, network, overwrite, **stored))


def split(
    frame: Annotated[
        Path,
        typer.Argument(
            metavar="FRAME", help="Camera frame or movie with both views.", show_default=False
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Output folder, created if needed.",
            show_default=False,
        ),
    ],
    layout: Annotated[
        str,
        typer.Option(
            help="Arrangement of the views: auto, side-by-side or above; or the FILE of a layout "
            "that was saved before, which is compared with the movie.",
            metavar="NAME|FILE",
        ),
    ] = "auto",
    save_layout: Annotated[
        Path | None,
        typer.Option(
            "--save-layout",
            metavar="FILE",
            help="Save the layout to FILE (.json), for later movies of the same camera.",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Split beamsplitter frames into two views."""
    _end(split_file(frame, output, layout, overwrite, save_layout))


def watch(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Folder that is being filled; or a .zarr or TIFF to which frames are added.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="Output .zarr, a movie to which each result is appended.",
            show_default=False,
        ),
    ],
    silence: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="End after this time without a new frame; by default never."
        ),
    ] = None,
    poll: Annotated[
        float, typer.Option(metavar="SECONDS", help="Time between two looks into the folder.")
    ] = 1.0,
    fast: Annotated[
        bool,
        typer.Option(
            "--fast",
            help="Denoise with what was found in the frames before: for movies of one scene that "
            "come faster than REUCID is.",
        ),
    ] = False,
    model: Model = None,
    layout: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Layout of the two views of a beamsplitter, saved by 'split --save-layout': both "
            "are denoised, and the result is their mean.",
        ),
    ] = None,
    **given: Any,
) -> None:
    """Denoise every frame that comes into a folder, until Ctrl-C or a silence.

    The same command continues after an interruption.
    """
    engine = _reucid_or(model, given, folder)
    if layout is not None:
        from napari_lowdose.live import SplitViews

        engine = SplitViews(engine, _layout(layout))
    _end(watch_files(folder, output, engine, silence=silence, poll=poll, independent=not fast))


def inspect_result(
    raw: Annotated[
        Path,
        typer.Argument(
            metavar="RAW", help="Raw image; of a pair, the first exposure.", show_default=False
        ),
    ],
    result: Annotated[
        Path, typer.Argument(metavar="RESULT", help="Its denoised image.", show_default=False)
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="Output file, .html: pictures, plots, parameters and the script in one file.",
            show_default=False,
        ),
    ],
    second: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Second exposure of the scene, for the Fourier ring correlation.",
            show_default=False,
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The scene without noise, if known.", show_default=False),
    ] = None,
    frame: Frame = None,
    noise: Noise = None,
    overwrite: Overwrite = False,
) -> None:
    """Inspect a result: spectra, resolution, and whether what was removed is noise."""
    _end(
        inspect_files(
            raw,
            result,
            output,
            second=second,
            truth=truth,
            frame=frame,
            noise=noise,
            overwrite=overwrite,
        )
    )


def evidence(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Raw image.", show_default=False)],
    result: Annotated[
        Path, typer.Argument(metavar="RESULT", help="Its denoised image.", show_default=False)
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="Output TIFF with three channels: significance of the structure of the result, "
            "mask of the structure that the data do not support, and residual, both in standard "
            "errors of the noise.",
            show_default=False,
        ),
    ],
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Standard errors from which on a contrast is significant; by default noise alone "
            "exceeds them in one of 20 images.",
        ),
    ] = None,
    frame: Frame = None,
    noise: Noise = None,
    overwrite: Overwrite = False,
) -> None:
    """Show which structure of a result the raw image supports."""
    _end(
        evidence_file(
            image,
            result,
            output,
            frame=frame,
            noise=noise,
            threshold=threshold,
            overwrite=overwrite,
        )
    )


def standard_error(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Raw image.", show_default=False)],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="Output TIFF: standard deviation of the noise of the result, grey levels.",
            show_default=False,
        ),
    ],
    frame: Frame = None,
    overwrite: Overwrite = False,
    **given: Any,
) -> None:
    """Denoise an image with REUCID, and tell the noise that is left in each pixel."""
    engine = _built(lambda: engine_from(Reucid, given), image)
    _end(standard_error_file(image, output, engine, frame=frame, overwrite=overwrite))


def counted(
    inputs: Inputs,
    output: Output,
    noise: Annotated[
        str | None,
        typer.Option(
            "--noise",
            metavar="GAIN,OFFSET,READ|estimate",
            help="Noise of images that hold no counts: grey levels per electron or photon, grey "
            "level of zero electrons, and standard deviation of the read noise; or estimate.",
        ),
    ] = None,
    save_model: SaveModel = None,
    continue_: Continue = None,
    overwrite: Overwrite = False,
    **given: Any,
) -> None:
    """Divide the counts of an image at random, train a network on both parts, and denoise it."""

    def build() -> Thinned:
        training = _training(given, continue_)
        return Thinned(training, "estimate" if noise == "estimate" else parse_noise(noise))

    stored = _built(lambda: take_stored(given), output)
    _end(denoise_files(inputs, output, _built(build, output), overwrite, save_model, **stored))


def movie(
    inputs: Inputs,
    output: Output,
    pairs: Annotated[
        str,
        typer.Option(
            metavar="neighbours|even-odd",
            help="Pairs of each frame and the next, or of even and odd frames. Little may move "
            "between them. Black, constant and repeated frames are left out.",
        ),
    ] = "neighbours",
    save_model: SaveModel = None,
    continue_: Continue = None,
    overwrite: Overwrite = False,
    **given: Any,
) -> None:
    """Train a network on the frames of a movie in which little moves, and denoise each frame."""

    def build() -> MoviePairs:
        return MoviePairs(_training(given, continue_), pairs)  # type: ignore[arg-type]

    stored = _built(lambda: take_stored(given), output)
    _end(denoise_files(inputs, output, _built(build, output), overwrite, save_model, **stored))


def _training(given: dict[str, Any], continued: Path | None) -> Noise2Noise:
    """Return the engine of a training, which may continue a saved network."""
    start = None if continued is None else _network(continued)
    engine: Noise2Noise = engine_from(Noise2Noise, given, _NAMES)
    return replace(engine, start=start)


def survival(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Raw image.", show_default=False)],
    at: Annotated[
        list[str],
        typer.Option(
            metavar="Y,X",
            help="Position of a site, pixels; repeat it for several sites.",
            show_default=False,
        ),
    ],
    contrast: Annotated[
        float,
        typer.Option(
            metavar="X",
            help="Change as a fraction of the contrast of the site: -1 removes it, 0.5 adds half "
            "of it.",
        ),
    ] = -0.5,
    draws: Annotated[int, typer.Option(metavar="N", help="Noise draws for each site.")] = 5,
    model: Model = None,
    frame: Frame = None,
    noise: Noise = None,
    **given: Any,
) -> None:
    """Plant a change into an image, denoise it, and measure how much of the change survives."""
    engine = _reucid_or(model, given, image)
    _end(
        survival_of_file(
            image,
            engine,
            at=at,
            contrast=contrast,
            n=draws,
            frame=frame,
            noise=noise,
            seed=getattr(engine, "seed", 0),
        )
    )


def _reucid_or(model: Path | None, given: dict[str, Any], about: Path) -> Any:
    """Return the network in a file, or REUCID with the given options."""
    if model:
        return network_engine(_network(model))
    return _built(lambda: engine_from(Reucid, given), about)


def _network(path: Path) -> Noise2NoiseModel:
    return _built(lambda: Noise2NoiseModel.load(path), path)


def _built(build: Callable[[], T], about: Path) -> T:
    """Return the result of `build`; on an error print one line and exit."""
    try:
        return build()
    except (ValueError, TypeError, OSError) as error:
        where = f"{about}: " if isinstance(error, OSError) else ""
        print_message(where + error_line(error, about))
        raise typer.Exit(UNSUITABLE) from None


def _end(code: int) -> None:
    if code:
        raise typer.Exit(code)


def _with_options(
    command: Callable[..., None], options: list[inspect.Parameter], without: Sequence[str] = ()
) -> Callable[..., None]:
    """Replace ``**given`` in the signature, which typer reads, by the options of an engine.

    Parameters
    ----------
    command : callable
    options : list of inspect.Parameter
    without : sequence of str
        Parameters of `command` that are not offered and keep their defaults.
    """
    own = [
        parameter
        for name, parameter in inspect.signature(command, eval_str=True).parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD and name not in without
    ]
    parameters = [
        *(p.replace(kind=p.KEYWORD_ONLY) for p in own),
        *options,
    ]

    # A copy, because the app may be built more than once.
    @functools.wraps(command)
    def with_options(**given: Any) -> None:
        command(**given)

    # typer reads both, and expects them to agree.
    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {p.name: p.annotation for p in parameters}
    return with_options


app = build_app(reucid=Reucid, pair=Noise2Noise)
