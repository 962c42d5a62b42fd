"""All connections of one server. Who says nothing makes room for who does, and is dropped after a while anyway."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from service.api.connections.descriptors import connections_max

logger = logging.getLogger(__name__)

HEAD_TIMEOUT_S = 10.0
"""From the moment when a connection may send a request until the request's head is complete."""
SWEEP_EVERY_S = 1.0


class Member(Protocol):
    """One connection over HTTP."""

    def make_room(self) -> None:
        """Close, since others want to come in."""

    def be_refused(self, connections: int) -> None:
        """Close, with an answer that says that there is no room among so many."""

    def time_out(self) -> None:
        """Close: the head of a request has not come in time."""

    def check_body(self, now: float) -> None:
        """Close where the body of a request comes too slowly."""


class Crowd:
    """Belongs to one event loop. `connections` are all that are open, WebSockets too."""

    def __init__(self, connections: set[Any]) -> None:
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[Member, float] = {}
        """Those that may send a request now, since when, the longest first."""
        self._max = connections_max()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = self._refused = 0

    def admit(self, member: Member) -> None:
        """Let a new connection in; where there is no room, the one that has waited longest goes."""
        self.wait(member)
        if self._sweep is None:
            self._sweep = self._loop.call_later(SWEEP_EVERY_S, self._look)
        if len(self._connections) > self._max:
            longest = next(iter(self._waiting))
            del self._waiting[longest]
            if longest is member:
                self._refused += 1
                member.be_refused(self._max)
            else:
                self._closed += 1
                longest.make_room()

    def wait(self, member: Member) -> None:
        """From now on `member` may send a request."""
        self._waiting.pop(member, None)
        self._waiting[member] = self._loop.time()

    def work(self, member: Member) -> None:
        """`member` has sent one, or has left."""
        self._waiting.pop(member, None)

    def _look(self) -> None:
        now = self._loop.time()
        self._sweep = self._loop.call_later(SWEEP_EVERY_S, self._look) if self._connections else None
        for member, since in list(self._waiting.items()):
            if now < since + HEAD_TIMEOUT_S:
                break
            del self._waiting[member]
            member.time_out()
        for connection in list(self._connections):
            if hasattr(connection, "check_body"):
                connection.check_body(now)
        if self._closed or self._refused:
            logger.warning(
                "%d connections are open, as many as may be: closed %d that waited, refused %d",
                self._max,
                self._closed,
                self._refused,
            )
            self._closed = self._refused = 0


_CROWDS: WeakKeyDictionary[Any, Crowd] = WeakKeyDictionary()


def crowd_of(server_state: Any) -> Crowd:
    """The crowd of the server that has this state."""
    crowd = _CROWDS.get(server_state)
    if crowd is None:
        crowd = _CROWDS[server_state] = Crowd(server_state.connections)
    return crowd
