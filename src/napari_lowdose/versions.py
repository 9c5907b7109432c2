"""Versions of packages, for the record of a result."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python and of the given packages.

    Examples
    --------
    >>> sorted(versions("numpy", "no-such-package").items())[0]
    ('no-such-package', 'unknown')
    """
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # a source tree that was never installed
            found[package] = "unknown"
    return found
