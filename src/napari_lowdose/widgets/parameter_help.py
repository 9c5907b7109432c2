"""What an engine's docstring says about its parameters, for tooltips."""

from __future__ import annotations

import inspect

from docstring_parser import parse


def parameter_help(engine: type) -> dict[str, str]:
    """Return the description of each parameter of `engine`, from its numpydoc docstring.

    Parameters
    ----------
    engine : type
        A dataclass of parameters.

    Returns
    -------
    dict of str to str
        By parameter name; rich text, which Qt wraps to a readable width.

    Examples
    --------
    >>> from napari_lowdose import Reucid
    >>> "seed" in parameter_help(Reucid)
    True
    """
    found = parse(inspect.getdoc(engine) or "").params
    return {
        name.strip(): f"<qt>{_plain(parameter.description or '')}</qt>"
        for parameter in found
        for name in parameter.arg_name.split(",")
    }


def _plain(text: str) -> str:
    """Undo reStructuredText's backticks and escape what rich text would read as tags."""
    return " ".join(text.replace("`", "").replace("&", "&amp;").replace("<", "&lt;").split())
