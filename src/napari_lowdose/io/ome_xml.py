"""OME-XML of a TIFF: parsed safely, mended, and limited to the file that it was found in.

Metadata must never stop pixels from being read, nor lead to the wrong ones.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_PLANES = 2**22  # of one image: what declares more is damaged
_LEADING = "TZC"
_SIZE = re.compile(r"\d{1,9}")


class UnusableError(ValueError):
    """OME-XML that cannot be used; the message says why."""


def parse(text: str) -> ElementTree.Element:
    """Parse OME-XML, with stray ampersands and control characters mended.

    Parameters
    ----------
    text : str

    Returns
    -------
    xml.etree.ElementTree.Element

    Raises
    ------
    UnusableError
        If it is not XML, or declares entities: those of an entity bomb fill the memory.

    Examples
    --------
    >>> parse('<OME><Image Name="R&D"/></OME>')[0].get("Name")
    'R&D'
    """
    if re.search(r"<!\s*(DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise UnusableError("it declares entities")
    for attempt in (text, _mended(text)):
        try:
            return ElementTree.fromstring(attempt)
        except (ElementTree.ParseError, ValueError) as error:
            reason = error
    raise UnusableError(f"it is not well-formed: {reason}")


def of_this_file(text: str, name: str) -> str:
    """Return OME-XML that describes no planes but those in one file of a set.

    In a multi-position acquisition, or where every channel has its own file, each file lists
    all of them.

    Parameters
    ----------
    text : str
        OME-XML.
    name : str
        Name of the file it was found in.

    Returns
    -------
    str
        OME-XML.

    Raises
    ------
    UnusableError
        If it cannot be parsed, its sizes are wrong, or it does not describe this file.
    """
    try:
        root = parse(text)
        _limit_to(root, name)
        return ElementTree.tostring(root, encoding="unicode")
    except RecursionError:
        raise UnusableError("it is nested too deeply") from None


def _limit_to(root: ElementTree.Element, name: str) -> None:
    images = root.findall("{*}Image")
    planes = {image: image.findall("{*}Pixels/{*}TiffData") for image in images}
    names_it = _recogniser(root, [data for each in planes.values() for data in each], name)
    found = False
    for image in images:
        ours = [data for data in planes[image] if names_it(data)]
        pixels = image.find("{*}Pixels")
        if pixels is None or (planes[image] and not ours):
            root.remove(image)
            continue
        found = True
        sizes = _sizes(pixels)
        _check_planes(ours, math.prod(sizes.values()))
        if len(ours) < len(planes[image]):
            _limit(pixels, sizes, ours)
        for data in ours:  # under whatever name the file goes now
            for uuid in data.findall("{*}UUID"):
                data.remove(uuid)
    if images and not found:
        raise UnusableError("it describes other files")


def length(text: str | None) -> float | None:
    """Return a length that is written in metadata; None unless it is finite and above zero.

    Examples
    --------
    >>> length("0.325"), length("0,325"), length("-1.6E9")
    (0.325, None, None)
    """
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def _mended(text: str) -> str:
    text = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]", "", text)
    return re.sub(r"&(?!(?:#\d+|#x[0-9A-Fa-f]+|amp|lt|gt|quot|apos);)", "&amp;", text)


def _recogniser(
    root: ElementTree.Element, every: list[ElementTree.Element], name: str
) -> _Recogniser:
    """Return what tells the planes of this file from those of others."""
    listed = [uuid for data in every if (uuid := data.find("{*}UUID")) is not None]
    files: dict[str, set[str]] = {}  # of each identifier
    for uuid in listed:
        files.setdefault((uuid.text or "").strip(), set()).add(_file_name(uuid))
    own = (root.get("UUID") or "").strip()
    if len(files.get(own, ())) == 1:  # also after the file was renamed
        return _Recogniser(own, None)
    names = set().union(*files.values())
    if len(names) <= 1 or name.lower() in names:
        return _Recogniser(None, name.lower() if len(names) > 1 else None)
    raise UnusableError("it describes other files")


class _Recogniser:
    def __init__(self, identifier: str | None, name: str | None) -> None:
        self._identifier, self._name = identifier, name

    def __call__(self, data: ElementTree.Element) -> bool:
        uuid = data.find("{*}UUID")
        if uuid is None:
            return True
        if self._identifier is not None:
            return (uuid.text or "").strip() == self._identifier
        return self._name is None or _file_name(uuid) == self._name


def _file_name(uuid: ElementTree.Element) -> str:
    return re.split(r"[/\\]", uuid.get("FileName") or "")[-1].lower()


def _sizes(pixels: ElementTree.Element) -> dict[str, int]:
    """Return the sizes of T, Z and C in the order of the planes, slowest first."""
    order = pixels.get("DimensionOrder") or "XYCZT"
    if sorted(order) != sorted("XYCZT") or order[:2] != "XY":
        raise UnusableError(f"its dimension order is {order!r:.20}")
    pixels.set("DimensionOrder", order)
    for axis in "XY":
        _whole(pixels, f"Size{axis}", 1)
    sizes = {axis: _whole(pixels, f"Size{axis}", 1) for axis in reversed(order[2:])}
    if math.prod(sizes.values()) > MOST_PLANES:
        raise UnusableError("its sizes are impossible")
    return sizes


def _check_planes(ours: Iterable[ElementTree.Element], n_planes: int) -> None:
    for data in ours:
        for attribute in ("IFD", "PlaneCount", "NumPlanes", *(f"First{a}" for a in _LEADING)):
            if attribute in data.attrib and _whole(data, attribute, 0) > MOST_PLANES:
                raise UnusableError(f"its {attribute} is impossible")
        count = data.get("PlaneCount", data.get("NumPlanes"))
        if count is not None and int(count) > n_planes:
            raise UnusableError("it lists more planes than there can be")


def _whole(element: ElementTree.Element, attribute: str, least: int) -> int:
    text = (element.get(attribute) or "").strip()
    if not _SIZE.fullmatch(text) or int(text) < least:
        raise UnusableError(f"its {attribute} is {text!r:.20}")
    return int(text)


def _limit(
    pixels: ElementTree.Element, sizes: dict[str, int], ours: list[ElementTree.Element]
) -> None:
    """Make an image that is spread over several files the part of it in this one."""
    shape = tuple(sizes.values())
    where: dict[int, int] = {}  # position in the image: page of the file
    for data in ours:
        first = [int(data.get(f"First{axis}", 0)) for axis in sizes]
        if any(at >= size for at, size in zip(first, shape, strict=True)):
            raise UnusableError("it lists planes that there cannot be")
        start = int(np.ravel_multi_index(first, shape))
        count = int(data.get("PlaneCount", data.get("NumPlanes", 1)))
        page = int(data.get("IFD", 0))
        where |= {start + k: page + k for k in range(count)}
    if not where or max(where) >= math.prod(shape):
        raise UnusableError("it lists planes that there cannot be")
    along = np.unravel_index(sorted(where), shape)
    kept = {axis: np.unique(index) for axis, index in zip(sizes, along, strict=True)}
    if math.prod(map(len, kept.values())) != len(where):
        raise UnusableError("the planes in this file are only part of a stack")
    for axis, indices in kept.items():
        pixels.set(f"Size{axis}", str(len(indices)))
    channels = pixels.findall("{*}Channel")
    for number, channel in enumerate(channels):
        if len(channels) == sizes["C"] and number not in kept["C"]:
            pixels.remove(channel)
    for data in pixels.findall("{*}TiffData"):
        pixels.remove(data)
    namespace = pixels.tag.removesuffix("Pixels")
    for position, page in sorted(where.items()):
        index = np.unravel_index(position, shape)
        data = ElementTree.SubElement(pixels, f"{namespace}TiffData")
        data.attrib = {"IFD": str(page), "PlaneCount": "1"}
        for axis, at in zip(sizes, index, strict=True):
            data.set(f"First{axis}", str(int(np.searchsorted(kept[axis], at))))
