"""End processes together with the server that they belong to, however the server ends.

A lifeline is a pipe that is never written to. Only the server holds its writing end, which the kernel closes when the
server ends. On Linux, a process can have the kernel kill it, or its group, at that moment (fcntl(2), O_ASYNC). This
needs no Python thread, which a tool could block. PR_SET_PDEATHSIG would not do: it covers a single process, and it also
fires when the thread that started the process ends.
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
    """The pipe of a server. Processes that inherit `reading` can `tie` themselves to it."""

    _open: ClassVar[WeakSet[Lifeline]] = WeakSet()

    def __init__(self) -> None:
        self.reading, self._writing = os.pipe()
        self._open.add(self)

    def close(self) -> None:
        """Close this lifeline, which ends all processes that are tied to it."""
        self._open.discard(self)
        for end in (self._writing, self.reading):
            with suppress(OSError):  # A tool may have closed the descriptor.
                os.close(end)

    @classmethod
    def leave(cls) -> None:
        """Close the writing ends of all lifelines in a child. Otherwise tied processes would outlive the server."""
        for each in cls._open:
            with suppress(OSError):  # A tool may have closed the descriptor.
                os.close(each._writing)
        cls._open.clear()


def tie(reading: int, *, group: bool) -> bool:
    """Have the kernel kill this process, or with `group` its process group, when the server ends.

    Return False if the system cannot do that. If the server has already ended, end this process at once.
    """
    if sys.platform != "linux":
        return False
    try:
        # The receiver of the signal is stored in the open file. Processes that inherit a descriptor share its open
        # file, so each process opens the pipe anew.
        own = os.open(f"/proc/self/fd/{reading}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.fcntl(own, fcntl.F_SETOWN, -os.getpgrp() if group else os.getpid())
        fcntl.fcntl(own, _F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(own, fcntl.F_SETFL, fcntl.fcntl(own, fcntl.F_GETFL) | os.O_ASYNC)
        is_closed = not os.read(own, 1)
    except BlockingIOError:
        return True  # The pipe is open and empty, so the server is alive.
    except OSError:
        return False
    if is_closed:
        os._exit(1)  # The server had already ended.
    return True
