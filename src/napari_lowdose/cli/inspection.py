"""The command that inspects a result and writes a report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from napari_lowdose.cli.evidence import index_of, one_frame, parse_noise
from napari_lowdose.cli.messages import (
    UNSUITABLE,
    error_line,
    print_message,
    print_warnings,
    progress_bar,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def inspect_files(
    raw: Path,
    result: Path,
    output: Path,
    *,
    second: Path | None,
    truth: Path | None,
    frame: int | None,
    noise: str | None,
    overwrite: bool,
) -> int:
    """Inspect a result, and write the report.

    Parameters
    ----------
    raw, result, output : Path
    second, truth : Path, optional
        Another exposure; the scene without noise.
    frame : int, optional
        Frame of a movie.
    noise : str, optional
        Gain, offset and read noise; by default they are estimated.
    overwrite : bool

    Returns
    -------
    int
        Exit code: 0, or 2 if the files cannot be compared.
    """
    from napari_lowdose.inspection import report
    from napari_lowdose.inspection.repeat_script import repeat_script
    from napari_lowdose.io.atomic import check_file
    from napari_lowdose.io.readers import read_image
    from napari_lowdose.io.tiff import check_target

    paths = {"raw": raw, "result": result, "second": second, "truth": truth}
    try:
        known = parse_noise(noise)
        if output.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"{output}: a report is an HTML file; use the extension .html")
        check_file(output)
        for source in filter(None, paths.values()):
            check_target(output, source, overwrite=overwrite)
        with print_warnings(str(result)), progress_bar(result.name) as show:
            files = {name: read_image(path) for name, path in paths.items() if path is not None}
            frames = {name: one_frame(file, frame) for name, file in files.items()}
            pixel_size, unit = files["raw"].pixel_size, files["raw"].unit
            record: Mapping[str, Any] = next(
                (each for each in reversed(files["result"].history) if "engine" in each), {}
            )
            at = index_of(files["raw"], frame)
            about = {**record.get("input", {}), **({"frame": list(at)} if at else {})}
            script = repeat_script(
                {**record, "input": about},
                raw=str(raw),
                second=None if second is None else str(second),
                result=str(result),
                output=output.name,
                pixel_size=pixel_size,
                unit=unit,
            )
            found = report(
                frames["raw"],
                frames["result"],
                output,
                second=frames.get("second"),
                truth=frames.get("truth"),
                noise=known,
                record=record,
                script=script,
                title=f"Inspection of {result.name}",
                progress=show,
                pixel_size=pixel_size,
                unit=unit,
            )
    except Exception as error:
        print_message(f"{raw} + {result}: {error_line(error)}")
        return UNSUITABLE
    typer.echo(f"{raw} + {result} -> {output}: {found.verdict.headline}")
    return 0
