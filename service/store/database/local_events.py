"""Events within this server, across its threads: a commit has changed something.

An event only shortens a wait. Whoever waits also polls the tables, so a lost event costs time and nothing else.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import NamedTuple

CLAIMABLE = "claimable"
"""The topic for runs that can be claimed."""
REVOKED = "revoked"
"""The topic for leases that may have been taken back."""
DELETING = "deleting"
"""The topic for runs whose rows and files are to be deleted."""
DELIVERABLE = "deliverable"
"""The topic for webhooks that can be sent."""


class LocalEvents:
    """Events by topic, which is one of the constants above or a run's id. `notify` may be called on any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subscribers: dict[str, set[_Event | Listener]] = defaultdict(set)

    @contextmanager
    def subscribe(self, topic: str) -> Iterator[asyncio.Event]:
        """Yield an event that is set whenever `topic` is notified. Clear it before you read the tables."""
        event = _Event(asyncio.Event(), asyncio.get_running_loop())
        with self._added(topic, event):
            yield event.event

    def listen(self, topic: str, listener: Listener) -> AbstractContextManager[None]:
        """Within the context, call `listener` on the notifying thread whenever `topic` is notified.

        `listener` must be quick and raise nothing. A notification in progress may still call it after the context.
        """
        return self._added(topic, listener)

    @contextmanager
    def _added(self, topic: str, subscriber: _Event | Listener) -> Iterator[None]:
        with self._lock:
            self._subscribers[topic].add(subscriber)
        try:
            yield
        finally:
            with self._lock:
                self._subscribers[topic].discard(subscriber)
                if not self._subscribers[topic]:
                    del self._subscribers[topic]

    def notify(self, topics: Iterable[str]) -> None:
        """Set the events of all subscribers to `topics`, and call the listeners."""
        if self._subscribers.keys().isdisjoint(topics):
            return
        events_of: dict[asyncio.AbstractEventLoop, list[asyncio.Event]] = defaultdict(list)
        listeners: list[Listener] = []
        with self._lock:
            for topic in topics:
                for subscriber in self._subscribers.get(topic, ()):
                    if not isinstance(subscriber, _Event):
                        listeners.append(subscriber)
                    # An event that is set needs no other call into the loop. A stale read here costs one poll at most.
                    elif not subscriber.event.is_set():
                        events_of[subscriber.loop].append(subscriber.event)
        for listener in listeners:
            listener()
        for loop, events in events_of.items():
            # Nobody waits on a closed loop, and the writer may outlive it.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_set, events)


Listener = Callable[[], None]


class _Event(NamedTuple):
    event: asyncio.Event
    loop: asyncio.AbstractEventLoop


def _set(events: list[asyncio.Event]) -> None:
    for event in events:
        event.set()
