"""Bound the memory, the time on the loop and the writes that large request bodies take.

Decoding and checking a body of a megabyte can take half a second, and thirty times the body's size in memory. Storing
it can take a second. Therefore a call with a large body waits for its turn before the body is decoded, and the body is
decoded on a thread. Calls with small bodies go on meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from anyio import to_thread
from starlette.requests import Request

from service.core.errors import Unavailable

LARGE_BYTES_MIN = 2**14
HELD_BYTES_MAX = 64 * 2**20
"""The most bytes of memory that all large bodies may hold together. A body that is the only one may be larger."""
WORKED_BYTES_MAX = 2 * 2**20
"""The most bytes of large bodies that have their turn at a time. A turn lasts from the end of a body to its answer. A
body that is the only one may be larger."""
TURN_WITHIN_S = 30.0
"""How long a call waits for its turn before it is answered with 503."""

_LARGE = "rungraph.large_body"
"""Key of a call's scope: its _LargeBody. Absent if its body is small."""
T = TypeVar("T")


class LargeBodies:
    """The large bodies that one application is receiving or working on. Belongs to one event loop."""

    def __init__(self) -> None:
        self.held_bytes = 0
        self._worked_bytes = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take_turn(self, size: int) -> None:
        """Wait, first come, first served, until a body of `size` bytes may be worked on."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        self._give_turns()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.remove((size, turn))
                self._give_turns()
            else:
                self.end_turn(size)
            raise

    def end_turn(self, size: int) -> None:
        self._worked_bytes -= size
        self._give_turns()

    def _give_turns(self) -> None:
        while self._waiting:
            size, turn = self._waiting[0]
            if self._worked_bytes and self._worked_bytes + size > WORKED_BYTES_MAX:
                return
            self._waiting.popleft()
            self._worked_bytes += size
            turn.set_result(None)


class _LargeBody:
    """The large body of one call: the bytes that it has reserved, and whether it has its turn."""

    def __init__(self, bodies: LargeBodies) -> None:
        self._bodies = bodies
        self._bytes = 0
        self._has_turn = False

    def grow(self, size: int) -> None:
        """Reserve `size` bytes more. Raise Unavailable if there is no room."""
        others = self._bodies.held_bytes - self._bytes
        if others and others + self._bytes + size > HELD_BYTES_MAX:
            raise Unavailable("the memory for large bodies is used up; try again")
        self._bodies.held_bytes += size
        self._bytes += size

    async def take_turn(self) -> None:
        """Wait until the body may be worked on. Raise Unavailable if that takes too long."""
        try:
            async with asyncio.timeout(TURN_WITHIN_S):
                await self._bodies.take_turn(self._bytes)
        except TimeoutError as error:
            raise Unavailable("too many calls with large bodies are waiting; try again") from error
        self._has_turn = True

    def release(self) -> None:
        self._bodies.held_bytes -= self._bytes
        if self._has_turn:
            self._bodies.end_turn(self._bytes)


def receive(request: Request, received: int, size: int) -> None:
    """Reserve memory for the `size` bytes that have just arrived, if the body is large.

    `received` counts all bytes of the body so far, including these. Raise Unavailable if there is no room.
    """
    body: _LargeBody | None = request.scope.get(_LARGE)
    if body is None:
        if received < LARGE_BYTES_MIN:
            return
        body, size = _LargeBody(request.app.state.large_bodies), received
        request.scope[_LARGE] = body
    body.grow(size)


async def take_turn(request: Request) -> None:
    """Wait for the call's turn if its body is large. Call this when the body is complete. `release` ends the turn.

    Raise Unavailable if the wait takes too long.
    """
    body: _LargeBody | None = request.scope.get(_LARGE)
    if body is not None:
        await body.take_turn()


def release(request: Request) -> None:
    """Give back what a call with a large body has reserved."""
    body: _LargeBody | None = request.scope.pop(_LARGE, None)
    if body is not None:
        body.release()


async def off_loop(request: Request, work: Callable[[], T]) -> T:
    """Return the result of `work`. Call `work` on a thread if the body of the request is large."""
    return await to_thread.run_sync(work) if _LARGE in request.scope else work()
