"""Versions of packages, for the record of a result."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python and of the given packages.

    Examples
    --------
    >>> sorted(versions("numpy", "no-such-package").items())[0]
    ('no-such-package', 'unknown')
    """
    return {"python": platform.python_version()} | {name: _version(name) for name in packages}


@cache  # a look-up takes milliseconds, and every run makes several records
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a source tree that was never installed
        return "unknown"
