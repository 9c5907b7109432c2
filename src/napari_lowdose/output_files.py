"""Which file the result of each input goes to, such that no image is ever lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


ZARR = ".zarr"  # the ending of a folder that is an image


def output_files(
    inputs: list[Path], output: Path, others: Sequence[Path] = ()
) -> list[tuple[Path, Path]]:
    """Pair every input file with the file that its result goes to.

    Parameters
    ----------
    inputs : list of Path
        Files, and folders that stand for the images in them.
    output : Path
        A TIFF or ``.zarr`` for one file, else a folder.  It need not exist, and is not made.
    others : sequence of Path
        What else is read, and must not be replaced.

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
    _refuse_losses(pairs, others)
    return pairs


def _pairs(inputs: list[Path], output: Path) -> Iterator[tuple[Path, Path]]:
    from napari_lowdose.imaging.readers import SUFFIXES

    several = len(inputs) > 1 or _is_folder_of_images(inputs[0])
    if not (several or _is_folder_of_images(output) or output.suffix == ""):
        if output.suffix.lower() not in (".tif", ".tiff", ZARR):
            raise ValueError(
                f"{output}: results are TIFF files, name it .tif (or .zarr: frame by frame)"
            )
        if not output.parent.is_dir():
            raise ValueError(f"{output}: there is no folder {output.parent}")
        yield inputs[0], output
        return
    if output.exists() and not _is_folder_of_images(output):
        raise ValueError(f"{output}: this is a file; the results of several images need a folder")
    files = []
    for path in inputs:
        found = [path]
        if _is_folder_of_images(path):
            found = sorted(
                p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file()
            )
            found = [p for p in found if not p.name.startswith(".")]
            if not found:
                raise ValueError(f"{path}: no images in this folder ({', '.join(SUFFIXES)})")
        files += found
    for path in files:
        same = path.suffix.lower() in (".tif", ".tiff", ZARR)
        yield path, output / (path.name if same else f"{path.stem}.tif")


def _is_folder_of_images(path: Path) -> bool:
    from napari_lowdose.imaging.zarr_folder import is_zarr

    return path.is_dir() and path.suffix != ZARR and not is_zarr(path)


def _refuse_losses(pairs: list[tuple[Path, Path]], others: Sequence[Path]) -> None:
    inputs = {_identity(source): source for source in (*(pair[0] for pair in pairs), *others)}
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
