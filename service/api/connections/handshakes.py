"""Bound how many handshakes of WebSockets are in progress, so that a flood of them does not delay other calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from service.api.connections.inbound_limit import InboundLimit

HANDSHAKES_MAX = 16
"""The most handshakes in progress at a time. Others wait in order of arrival, and cost no processor time meanwhile."""

_TURNS: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


class Turn:
    """The turn of one handshake. At most HANDSHAKES_MAX handshakes have a turn at a time."""

    def __init__(self, turns: asyncio.Semaphore) -> None:
        self._turns = turns
        self._is_held = True

    def end(self) -> None:
        """Give the turn to the next handshake. Call this once the handshake is accepted or refused. Idempotent."""
        if self._is_held:
            self._is_held = False
            self._turns.release()


@asynccontextmanager
async def handshake(limit: InboundLimit | None) -> AsyncIterator[Turn | None]:
    """Wait for the turn of a handshake and yield the turn. Yield None if the client disconnects during the wait.

    `limit` is the connection's InboundLimit. If it is None, a disconnect is not noticed. The caller ends the turn when
    the handshake is accepted; otherwise the turn ends with the context.
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
    """Wait for a turn and return True. Return False as soon as the client disconnects."""
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
