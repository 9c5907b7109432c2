"""Atomic exchange of two folders."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LINUX_HERE, _LINUX_EXCHANGE = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
_MACOS_SWAP = 2  # RENAME_SWAP


def swap(first: Path, second: Path) -> bool:
    """Exchange the names of two folders on the same file system atomically.

    At no time is one of the names missing.

    Parameters
    ----------
    first, second : Path

    Returns
    -------
    bool
        False, with nothing changed, if the operating system or file system does not support it.
    """
    one, other = os.fsencode(first), os.fsencode(second)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            failed = library.renamex_np(one, other, _MACOS_SWAP)
        else:
            failed = library.renameat2(_LINUX_HERE, one, _LINUX_HERE, other, _LINUX_EXCHANGE)
    except (AttributeError, OSError, TypeError):  # Windows, or an old C library
        return False
    return bool(failed == 0)
