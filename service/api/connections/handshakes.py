"""Bound how many handshakes of WebSockets are in progress, so that a flood of them does not delay other calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from service.api.connections.inbound_limit import InboundLimit

HANDSHAKES_MAX = 16
"""Handshakes in progress at a time. The others wait in their order, and cost no processor time meanwhile."""

_TURNS: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


class Turn:
    """The turn of one handshake."""

    def __init__(self, turns: asyncio.Semaphore) -> None:
        self._turns = turns
        self._is_held = True

    def end(self) -> None:
        """Give the turn to the next handshake, because this one is accepted or refused."""
        if self._is_held:
            self._is_held = False
            self._turns.release()


@asynccontextmanager
async def handshake(limit: InboundLimit | None) -> AsyncIterator[Turn | None]:
    """Wait for the turn of a handshake, and yield it, or None if the client has left by then.

    `limit` is that of the connection, if it is known. End the turn when the handshake is accepted; it ends with the
    context at the latest.
    """
    loop = asyncio.get_running_loop()
    turns = _TURNS.get(loop)
    if turns is None:
        turns = _TURNS[loop] = asyncio.Semaphore(HANDSHAKES_MAX)
    if not await _acquire(turns, limit):
        yield None
        return
    turn = Turn(turns)
    try:
        yield turn
    finally:
        turn.end()


async def _acquire(turns: asyncio.Semaphore, limit: InboundLimit | None) -> bool:
    """Acquire a turn and return True, or return False as soon as the client has left."""
    if limit is None or not turns.locked():
        return await turns.acquire()
    acquiring = asyncio.ensure_future(turns.acquire())
    limit.when_lost(acquiring.cancel)
    try:
        return await acquiring
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if limit.is_lost and acquiring.cancelled() and not (current and current.cancelling()):
            return False
        if acquiring.done() and not acquiring.cancelled():
            turns.release()
        raise
