"""Ends processes together with the server that they belong to, however that ends.

A pipe into which nobody ever writes. The server alone holds the end for writing, so that it closes when the server is
gone. On Linux a process can have the kernel signal it, or all of its group, at that moment (fcntl(2), O_ASYNC): that
needs no thread of Python's, which could be held up. PR_SET_PDEATHSIG would do for one process alone, and acts already
when the thread ends that has started it.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from contextlib import suppress
from typing import ClassVar
from weakref import WeakSet

_F_SETSIG = 10


class Lifeline:
    """The server's own; `tie` is for processes that have inherited `reading`."""

    _open: ClassVar[WeakSet[Lifeline]] = WeakSet()

    def __init__(self) -> None:
        self.reading, self._writing = os.pipe()
        self._open.add(self)

    def close(self) -> None:
        """End all who are tied to it."""
        self._open.discard(self)
        for end in (self._writing, self.reading):
            with suppress(OSError):  # A tool may have closed it.
                os.close(end)

    @classmethod
    def leave(cls) -> None:
        """Let go of what a child has inherited, which would keep others alive when the server is gone."""
        for each in cls._open:
            with suppress(OSError):  # Likewise.
                os.close(each._writing)
        cls._open.clear()


def tie(reading: int, *, group: bool) -> bool:
    """End this process, or all of its group, with the server; False where the system cannot do that."""
    if sys.platform != "linux":
        return False
    try:
        # Whom the kernel signals is a property of the opened file, which is shared with all who have inherited it.
        own = os.open(f"/proc/self/fd/{reading}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.fcntl(own, fcntl.F_SETOWN, -os.getpgrp() if group else os.getpid())
        fcntl.fcntl(own, _F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(own, fcntl.F_SETFL, fcntl.fcntl(own, fcntl.F_GETFL) | os.O_ASYNC)
        is_closed = not os.read(own, 1)
    except BlockingIOError:
        return True  # Nothing to read, and somebody who could write.
    except OSError:
        return False
    if is_closed:
        os._exit(1)  # The server went before the kernel was told.
    return True
