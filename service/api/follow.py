"""Following a run's lines on behalf of one client: where the store's tail meets a connection.

Whatever ends it early - the client gone, the server stopping - does so at once, whether the tail waits for a
line or a send for its reader.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import Enum, auto

from starlette.websockets import WebSocketDisconnect

from service.api.services import Services
from service.core.errors import Unavailable
from service.store.rows.records import LineRecord


class Ending(Enum):
    """Why following a run ended."""

    RUN_OVER = auto()
    CLIENT_GONE = auto()
    STOPPING = auto()
    UNAVAILABLE = auto()
    SENT_TOO_MUCH = auto()
    SENT_TOO_LARGE = auto()


@dataclass(slots=True)
class Following:
    """One client's way through a run's lines, and why it is to end before the run does."""

    ending: Ending | None = None
    _woken: asyncio.Event | None = None

    async def end_when(self, wait: Callable[[], Awaitable[None]], ending: Ending) -> None:
        # Called here: what ends before it has begun leaves no coroutine that nobody awaits.
        await wait()
        self.end(ending)

    def end(self, ending: Ending) -> None:
        self.ending = self.ending or ending
        if self._woken is not None:
            self._woken.set()

    def gone(self, woken: asyncio.Event) -> bool:
        """Asked by the tail before each read; `woken` ends the wait after it."""
        self._woken = woken
        return self.ending is not None


async def follow(
    services: Services,
    run_id: str,
    after_seq: int,
    *,
    following: Following,
    left: Callable[[], Awaitable[None]],
    deliver: Callable[[Sequence[LineRecord]], Awaitable[None]],
) -> Ending:
    """Hand all lines after `after_seq` to `deliver`, in order and once each, until something ends `following`.

    `left` waits for the client's leaving. `deliver` also gets the empty lists of a run that is quiet.
    """
    async with asyncio.TaskGroup() as group:
        watchers = [
            group.create_task(following.end_when(left, Ending.CLIENT_GONE)),
            group.create_task(following.end_when(services.stop.wait, Ending.STOPPING)),
        ]
        try:
            lines_of_run = services.store.tails.lines(run_id, after_seq, gone=following.gone)
            async with aclosing(lines_of_run):
                async for lines in lines_of_run:
                    await deliver(lines)
        except (OSError, WebSocketDisconnect):
            following.ending = following.ending or Ending.CLIENT_GONE
        except Unavailable:
            following.ending = Ending.UNAVAILABLE
        finally:
            for watcher in watchers:
                watcher.cancel()
    return following.ending or Ending.RUN_OVER
