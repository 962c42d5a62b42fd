"""Tell whether this process is a forked child. The guards ask this several times for each call of a tool.

A system call takes many times as long as reading a byte. So on Linux the answer is a byte in a page of memory that the
kernel clears in a child (MADV_WIPEONFORK), even if C code forked it. Elsewhere the process id is compared.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Callable
from contextlib import suppress

_MADV_WIPEONFORK = 18
"""The value on Linux. The module `mmap` has no name for it."""

_NO_ADVICE = -1
"""A number that stands for no advice. A system that checks its arguments refuses it."""

_getpid = os.getpid


def _by_page() -> tuple[Callable[[], bool], Callable[[], None]]:
    """Return the functions `is_child` and `claim`. They use a page of memory that the system clears in a child.

    Raise OSError if the system cannot do that.
    """
    page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        page.madvise(_NO_ADVICE)
    except OSError:
        page.madvise(_MADV_WIPEONFORK)
    else:
        raise OSError("the system accepts any advice, so it may ignore this one")

    def is_child() -> bool:
        return page[0] == 0

    def claim() -> None:
        page[0] = 1

    return is_child, claim


def _by_pid() -> tuple[Callable[[], bool], Callable[[], None]]:
    """Return the functions `is_child` and `claim`. They compare process ids."""
    owner = 0

    def is_child() -> bool:
        return _getpid() != owner

    def claim() -> None:
        nonlocal owner
        owner = _getpid()

    return is_child, claim


is_child, claim = _by_pid()
"""`is_child` returns whether this process was forked after the last call of `claim`."""
if sys.platform == "linux":
    with suppress(OSError):
        is_child, claim = _by_page()
claim()
