"""Event loops that commit on their own threads. This saves a switch to the writer's thread and back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress


class InlineLoop:
    """An event loop that commits on its own thread. Construct this on that thread."""

    __slots__ = ("_thread", "is_called", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._thread = threading.get_ident()
        self.is_called = False
        """Whether the loop is going to commit what is queued now."""

    def call(self, commit: Callable[[InlineLoop], None]) -> None:
        """Have the loop call `commit(self)`, which must clear `is_called`. Any thread may call this."""
        self.is_called = not self.loop.is_closed()
        if not self.is_called:
            return
        is_here = threading.get_ident() == self._thread
        with suppress(RuntimeError):  # The loop was closed just now.
            self.loop.call_soon(commit, self) if is_here else self.loop.call_soon_threadsafe(commit, self)


class InlineLoops:
    """The loops that commit inline, by their threads."""

    def __init__(self) -> None:
        self._loops: dict[int, InlineLoop] = {}
        self._default: InlineLoop | None = None

    def add(self, *, only_own: bool) -> None:
        """Add the running loop. With `only_own`, it is not called to commit what other threads write."""
        inline = self._loops[threading.get_ident()] = InlineLoop(asyncio.get_running_loop())
        if not only_own:
            self._default = inline

    def remove(self) -> None:
        """Remove the running loop. Do nothing if it was not added."""
        if self._loops.pop(threading.get_ident(), None) is self._default:
            self._default = None

    @property
    def takes_all(self) -> bool:
        """Whether one of the loops commits what other threads write."""
        return self._default is not None

    def here(self) -> InlineLoop | None:
        """Return the loop of the running thread, or None if that loop does not commit inline."""
        return self._loops.get(threading.get_ident())

    def best_for(self, asking: asyncio.AbstractEventLoop | None) -> InlineLoop | None:
        """Return the running loop if it commits inline, else `asking` if it does, else the loop for all threads.

        Return None if there is no such loop.
        """
        if (inline := self.here()) is not None:
            return inline
        return next((each for each in list(self._loops.values()) if each.loop is asking), self._default)
