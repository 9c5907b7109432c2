"""Choose the output file of each input; no image is ever overwritten by accident."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from napari_lowdose.io.readers import SUFFIXES, images_in
from napari_lowdose.io.tiff_flavours import TIFF_SUFFIXES
from napari_lowdose.io.zarr_folder import is_zarr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence


ZARR = ".zarr"  # extension of a folder that holds one image
_IMAGE_SUFFIXES = (*SUFFIXES, ZARR, ".png", ".jpg", ".jpeg", ".gif", ".bmp")


def output_files(
    inputs: list[Path], output: Path, others: Sequence[Path] = ()
) -> list[tuple[Path, Path]]:
    """Return the input and output file of each image.

    Parameters
    ----------
    inputs : list of Path
        Files, and folders of images.
    output : Path
        A TIFF or ``.zarr`` for one file, else a folder.  It need not exist and is not created.
    others : sequence of Path
        Further inputs, which must not be overwritten either.

    Returns
    -------
    list of (Path, Path)
        Never empty.

    Raises
    ------
    ValueError
        If there are no images, `output` is unsuitable, or a result would overwrite an input or
        another result.

    Examples
    --------
    >>> for _, target in output_files([Path("a.tif"), Path("b.dm3")], Path("clean")):
    ...     print(target.as_posix())
    clean/a.tif
    clean/b.tif
    """
    pairs = list(_pairs(inputs, output))
    _refuse_losses(pairs, others)
    return pairs


def match_files(first: Path, second: Path) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Pair the images in two folders by name.  Two files are always a pair.

    Parameters
    ----------
    first, second : Path
        Two files, or two folders.

    Returns
    -------
    pairs : list of (Path, Path)
        Never empty.
    alone : list of Path
        Images without a partner.

    Raises
    ------
    ValueError
        If one is a file and the other a folder, both are the same folder, or they have no name
        in common.
    """
    folders = [_is_folder_of_images(path) for path in (first, second)]
    if not any(folders):
        return [(first, second)], []
    if not all(folders):
        file, folder = (second, first) if folders[0] else (first, second)
        raise ValueError(
            f"{file} is a file and {folder} is a folder: give two files or two folders."
        )
    if first.resolve() == second.resolve():
        raise ValueError(f"{first}: both exposures are in the same folder; give two files.")
    found = [_by_name(first), _by_name(second)]
    both = sorted(found[0].keys() & found[1].keys())
    if not both:
        raise ValueError(
            f"{first} and {second} have no image names in common: the two exposures of a pair are "
            "matched by file name."
        )
    alone = [path for names in found for name, path in names.items() if name not in both]
    return [(found[0][name], found[1][name]) for name in both], alone


def save_elsewhere(path: Path, source: Path, save: Callable[[Path], object]) -> Path | None:
    """Save to another folder, after saving to `path` has failed.

    Parameters
    ----------
    path : Path
        The requested path.  The file name is kept if possible.
    source : Path
        The input.  Its folder is tried first, then the home folder and the temporary folder.
    save : callable
        Function that saves to a given path.

    Returns
    -------
    Path or None
        The new path; None if every folder failed.
    """
    folders = [source.resolve().parent, Path.home(), Path(tempfile.gettempdir())]
    for folder in dict.fromkeys(folders):
        number, free = 1, folder / path.name
        while free.exists():  # never overwrite
            number += 1
            free = folder / f"{path.stem}-{number}{path.suffix}"
        try:
            save(free)
        except OSError:
            continue
        return free
    return None


def refuse_side_file(
    path: Path, what: str, kind: str, suffix: str, images: Iterable[Path], overwrite: bool
) -> None:
    """Raise an error if something cannot be saved beside the images under this name.

    Parameters
    ----------
    path : Path
    what : str
        What is saved, for example "network".
    kind, suffix : str
        Format of the file, and its extension.
    images : iterable of Path
        Inputs and results, which must not be overwritten.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    ValueError, FileExistsError

    Examples
    --------
    >>> refuse_side_file(Path("a.txt"), "layout", "JSON", ".json", [], overwrite=False)
    Traceback (most recent call last):
    ValueError: a.txt: layouts are saved as JSON files; use the extension .json
    """
    if path.suffix.lower() != suffix:
        raise ValueError(f"{path}: {what}s are saved as {kind} files; use the extension {suffix}")
    if any(path.resolve() == image.resolve() for image in images):
        raise ValueError(f"{path}: the {what} would overwrite an image; choose another name.")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give a file name.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already; choose another name or overwrite it.")


def _by_name(folder: Path) -> dict[str, Path]:
    files = images_in(folder)
    names = {path.stem: path for path in files}
    if len(names) < len(files):  # a.tif and a.dm3: compare the full names
        names = {path.name: path for path in files}
    return names


def _pairs(inputs: list[Path], output: Path) -> Iterator[tuple[Path, Path]]:
    several = len(inputs) > 1 or _is_folder_of_images(inputs[0])
    suffix = output.suffix.lower()
    if not (several or _is_folder_of_images(output) or suffix == ""):
        if suffix not in (*TIFF_SUFFIXES, ZARR):
            raise ValueError(
                f"{output}: results are TIFF or zarr files; use the extension .tif or .zarr"
            )
        if not output.parent.is_dir():
            raise ValueError(f"{output}: there is no folder {output.parent}")
        yield inputs[0], output
        return
    if not _is_folder_of_images(output):
        if output.exists():
            raise ValueError(f"{output} is one image; the results of several images need a folder")
        if suffix in _IMAGE_SUFFIXES:
            raise ValueError(
                f"{output}: the results of several images need a folder, with a name that does "
                f"not end in {output.suffix}"
            )
    files = []
    for path in inputs:
        found = images_in(path) if _is_folder_of_images(path) else [path]
        if not found:
            raise ValueError(f"{path}: no images in this folder ({', '.join(SUFFIXES)})")
        files += found
    for path in files:
        same = path.suffix.lower() in (*TIFF_SUFFIXES, ZARR)
        yield path, output / (path.name if same else f"{path.stem}.tif")


def _is_folder_of_images(path: Path) -> bool:
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
                f"{target} would be the output of both {taken[file]} and {source};"
                " write them to different folders."
            )
        taken[file] = source


def _identity(path: Path) -> object:
    """Return a key that is equal for two paths of the same file, such as a link."""
    try:
        found = path.stat()
    except OSError:  # does not exist yet
        return path.resolve()
    return found.st_dev, found.st_ino
