"""Which file the result of each input goes to, such that no image is ever lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def output_files(inputs: list[Path], output: Path) -> list[tuple[Path, Path]]:
    """Pair every input file with the file that its result goes to.

    Parameters
    ----------
    inputs : list of Path
        Files, and folders that stand for the images in them.
    output : Path
        A TIFF for one file, else a folder.  It need not exist, and is not made.

    Returns
    -------
    list of (Path, Path)
        Never empty.

    Raises
    ------
    ValueError
        If there are no images, or `output` cannot take them, or a result would replace one
        of the inputs or another result.

    Examples
    --------
    >>> from pathlib import Path
    >>> for _, target in output_files([Path("a.tif"), Path("b.dm3")], Path("clean")):
    ...     print(target.as_posix())
    clean/a.tif
    clean/b.tif
    """
    pairs = list(_pairs(inputs, output))
    _refuse_losses(pairs)
    return pairs


def _pairs(inputs: list[Path], output: Path) -> Iterator[tuple[Path, Path]]:
    from napari_lowdose.imaging.readers import SUFFIXES

    several = len(inputs) > 1 or inputs[0].is_dir()
    if not (several or output.is_dir() or output.suffix == ""):
        if output.suffix.lower() not in (".tif", ".tiff"):
            raise ValueError(f"{output}: results are TIFF files, name it .tif")
        if not output.parent.is_dir():
            raise ValueError(f"{output}: there is no folder {output.parent}")
        yield inputs[0], output
        return
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output}: this is a file; the results of several images need a folder")
    files = []
    for path in inputs:
        found = [path]
        if path.is_dir():
            found = sorted(
                p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file()
            )
            found = [p for p in found if not p.name.startswith(".")]
            if not found:
                raise ValueError(f"{path}: no images in this folder ({', '.join(SUFFIXES)})")
        files += found
    for path in files:
        is_tiff = path.suffix.lower() in (".tif", ".tiff")
        yield path, output / (path.name if is_tiff else f"{path.stem}.tif")


def _refuse_losses(pairs: list[tuple[Path, Path]]) -> None:
    inputs = {_identity(source): source for source, _ in pairs}
    taken: dict[object, Path] = {}
    for source, target in pairs:
        file = _identity(target)
        if file in inputs:
            raise ValueError(
                f"{source}: the result would replace the input {inputs[file]};"
                " choose another output."
            )
        if file in taken:
            raise ValueError(
                f"{target} would be the result of both {taken[file]} and {source};"
                " give each an output of its own."
            )
        taken[file] = source


def _identity(path: Path) -> object:
    """Return what two names of one file have in common, links and all."""
    try:
        found = path.stat()
    except OSError:  # not there yet
        return path.resolve()
    return found.st_dev, found.st_ino
