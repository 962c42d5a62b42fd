"""Hints that something changed, across the threads of this server.

Only a hint: whoever waits polls the tables as well, so that a lost one costs time and nothing else.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

CLAIMABLE = "claimable"
"""The topic of the supervisor."""
REVOKED = "revoked"
"""The topic of whoever holds leases, some of which may have been taken back. Every other topic is a run's id."""


class Wake:
    """Events by topic. `subscribe` belongs to an event loop, `notify` to any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, set[_Bell]] = defaultdict(set)

    @contextmanager
    def subscribe(self, topic: str) -> Iterator[asyncio.Event]:
        """An event of the running loop that is set whenever `topic` is notified; clear it before you look."""
        bell = _Bell(asyncio.get_running_loop())
        with self._lock:
            self._waiting[topic].add(bell)
        try:
            yield bell.event
        finally:
            with self._lock:
                self._waiting[topic].discard(bell)
                if not self._waiting[topic]:
                    del self._waiting[topic]

    def notify(self, topics: Iterable[str]) -> None:
        if not self._waiting:
            return
        ringing: dict[asyncio.AbstractEventLoop, list[asyncio.Event]] = defaultdict(list)
        with self._lock:
            for topic in topics:
                for bell in self._waiting.get(topic, ()):
                    # A set event needs no second call into the loop; a stale read here costs one poll at most.
                    if not bell.event.is_set():
                        ringing[bell.loop].append(bell.event)
        for loop, events in ringing.items():
            # A loop that is closed has nobody waiting; the writer, which rings, must outlive it.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_set, events)


class _Bell:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.event = asyncio.Event()
        self.loop = loop


def _set(events: list[asyncio.Event]) -> None:
    for event in events:
        event.set()
