"""Track all connections of one server: close idle ones to make room for new ones, and drop those that stay idle."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from service.api.connections.descriptors import connections_max

logger = logging.getLogger(__name__)

HEAD_TIMEOUT_S = 10.0
"""Time from the moment when a connection may send a request until the request's head must be complete."""
CHECK_EVERY_S = 1.0


class Connection(Protocol):
    """What OpenConnections needs of an HTTP connection: the ways to close it."""

    def make_room(self) -> None:
        """Close the connection because a new one needs its place."""

    def refuse(self, connections: int) -> None:
        """Close the connection, with an answer that says that `connections` are already open."""

    def time_out(self) -> None:
        """Close the connection because the head of a request has not arrived in time."""

    def check_body(self, now: float) -> None:
        """Close the connection if the body of a request arrives too slowly."""


class OpenConnections:
    """The open connections of one server. Belongs to one event loop."""

    def __init__(self, connections: set[Any]) -> None:
        """`connections` is uvicorn's set of all open connections, WebSockets included."""
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._idle: dict[Connection, float] = {}
        """Connections that may send a request now, the longest idle first, each with the time when it became idle."""
        self._max = connections_max()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = self._refused = 0

    def admit(self, connection: Connection) -> None:
        """Add a new connection. If there is no room, close the longest idle one. Refuse the new one if none is idle."""
        self.set_idle(connection)
        if self._timer is None:
            self._timer = self._loop.call_later(CHECK_EVERY_S, self._check)
        if len(self._connections) > self._max:
            longest = next(iter(self._idle))
            del self._idle[longest]
            if longest is connection:
                self._refused += 1
                connection.refuse(self._max)
            else:
                self._closed += 1
                longest.make_room()

    def set_idle(self, connection: Connection) -> None:
        """Record that `connection` may send a request from now on."""
        self._idle.pop(connection, None)
        self._idle[connection] = self._loop.time()

    def set_busy(self, connection: Connection) -> None:
        """Record that `connection` has sent a request or is closed."""
        self._idle.pop(connection, None)

    def _check(self) -> None:
        """Time out connections whose head or body is late, and log what was closed."""
        now = self._loop.time()
        self._timer = self._loop.call_later(CHECK_EVERY_S, self._check) if self._connections else None
        for connection, since in list(self._idle.items()):
            if now < since + HEAD_TIMEOUT_S:
                break
            del self._idle[connection]
            connection.time_out()
        for open_connection in list(self._connections):
            if hasattr(open_connection, "check_body"):
                open_connection.check_body(now)
        if self._closed or self._refused:
            logger.warning(
                "%d connections are open, the maximum: closed %d idle ones, refused %d new ones",
                self._max,
                self._closed,
                self._refused,
            )
            self._closed = self._refused = 0


_BY_SERVER: WeakKeyDictionary[Any, OpenConnections] = WeakKeyDictionary()


def connections_of(server_state: Any) -> OpenConnections:
    """Return the OpenConnections of the server that has this state. Create them at the first call."""
    connections = _BY_SERVER.get(server_state)
    if connections is None:
        connections = _BY_SERVER[server_state] = OpenConnections(server_state.connections)
    return connections
