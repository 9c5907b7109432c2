"""Generate command line options from the fields of an engine.

The engine class is the only source of defaults, types and help texts.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
import types
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer

from napari_lowdose.parameters import parameter_help


def engine_options(
    engine: type[Any], skip: Sequence[str] = (), names: Mapping[str, Any] | None = None
) -> list[inspect.Parameter]:
    """Return one typer option for each field of `engine`.

    Parameters
    ----------
    engine : dataclass
        The Parameters section of its docstring becomes the help.  Fields whose value cannot be
        written as text, such as a network, are left out.
    skip : sequence of str
        Names of other fields to leave out.
    names : mapping, optional
        Names in the type annotations that are not imported at run time.

    Returns
    -------
    list of inspect.Parameter
        The default of every option is None, for "not given".
    """
    texts, hints = parameter_help(engine), _hints(engine, names)
    parameters = []
    for field in dataclasses.fields(engine):
        if field.name in skip or field.name not in hints:
            continue
        hint = hints[field.name]
        metavar = None if hint is bool else _metavar(field.name, hint)
        if metavar == "":
            continue
        kind = bool | None if hint is bool else str | None
        default = "" if field.default in (None, False) else f" [default: {_text(field.default)}]"
        flag = f"--{field.name.replace('_', '-')}"
        if field.default is True:
            flag += f"/--no-{flag[2:]}"
        option = typer.Option(
            flag,
            help=texts.get(field.name, "") + default,
            metavar=metavar,
            show_default=False,
        )
        parameters.append(
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[kind, option],
            )
        )
    return parameters


def engine_from(
    engine: type[Any], given: dict[str, Any], names: Mapping[str, Any] | None = None
) -> Any:
    """Create an engine from command line options.

    Parameters
    ----------
    engine : dataclass
    given : dict
        Text, or True for a flag; None if the option was not given.
    names : mapping, optional
        As for `engine_options`.

    Returns
    -------
    engine

    Raises
    ------
    ValueError
        If the text cannot be converted to the type of the field, or the engine rejects the value.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Blur:
    ...     width: int | Literal["auto"] = "auto"
    ...     keep: Sequence[int] | None = None
    ...     memory_limit: int | None = None
    >>> engine_from(Blur, {"width": "3", "keep": "0,1,4", "memory_limit": "1GiB"})
    Blur(width=3, keep=(0, 1, 4), memory_limit=1073741824)
    """
    hints = _hints(engine, names)
    return engine(
        **{
            name: _parse(name, value, hints[name]) if isinstance(value, str) else value
            for name, value in given.items()
            if value is not None
        }
    )


def _hints(engine: type[Any], names: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the types of the fields that can be evaluated at run time."""
    known = {**vars(sys.modules[engine.__module__]), **(names or {})}
    hints = {}
    for field in dataclasses.fields(engine):
        hint: Any = field.type
        if isinstance(hint, str):
            try:
                hint = eval(hint, known)
            except NameError:  # imported for type checkers only
                continue
        hints[field.name] = hint
    return hints


def _text(default: Any) -> str:
    """Return a default as it is written on the command line."""
    if isinstance(default, tuple):
        return ",".join(f"{part:g}" if isinstance(part, float) else str(part) for part in default)
    return str(default)


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _metavar(name: str, hint: Any) -> str:
    words = []
    for member in _members(hint):
        if get_origin(member) is Literal:
            words += [str(value) for value in get_args(member)]
        elif member is int:
            words.append("BYTES" if name == "memory_limit" else "N")
        elif member is float:
            words.append("X")
        elif member is str:
            words.append("FILE" if name == "classifier" else "NAME")
        elif get_origin(member) is tuple:
            words.append("DY,DX" if name == "shift" else ",".join("X" for _ in get_args(member)))
        elif get_origin(member) is Sequence:
            words.append("N,N,...;N,..." if get_args(member) != (int,) else "N,N,...")
    return "|".join(words)


def _parse(name: str, text: str, hint: Any) -> Any:
    for member in _members(hint):
        try:
            return _parse_as(name, text.strip(), member)
        except (ValueError, OverflowError):
            continue
    raise ValueError(f"--{name.replace('_', '-')} expects {_metavar(name, hint)}, not {text!r}.")


def _parse_as(name: str, text: str, kind: Any) -> Any:
    if get_origin(kind) is Literal and text in get_args(kind):
        return text
    if kind is int and name == "memory_limit":
        from dask.utils import parse_bytes  # slow to import (0.3 s) and rarely needed

        return parse_bytes(text)
    if kind in (int, float, str):
        return kind(text)
    if get_origin(kind) is tuple:
        parts = text.split(",")
        kinds = get_args(kind)
        if len(parts) != len(kinds):
            raise ValueError(text)
        return tuple(_parse_as(name, part.strip(), each)
                     for part, each in zip(parts, kinds, strict=True))  # fmt: skip
    if get_origin(kind) is Sequence:
        # "8" is a number; a sequence with one item is written "8," or "8;"
        if _separator(kind) not in text:
            raise ValueError(text)
        return _parse_sequence(name, text, kind)
    raise ValueError(text)


def _parse_sequence(name: str, text: str, kind: Any) -> tuple[Any, ...]:
    """Parse "0,1" or "0,1;3"; a trailing separator adds no item."""
    (item,) = get_args(kind)
    parse = _parse_sequence if get_origin(item) is Sequence else _parse_as
    separator = _separator(kind)
    parts = text.removesuffix(separator).split(separator)
    return tuple(parse(name, part.strip(), item) for part in parts)


def _separator(kind: Any) -> str:
    return ";" if get_origin(get_args(kind)[0]) is Sequence else ","
