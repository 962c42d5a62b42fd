"""Follow a run's log lines for one client: read them from the store's tail and deliver them to a connection.

The delivery ends at once when the client disconnects or the server stops, even while the tail waits for a line or a
send waits for the reader.
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
    """The state of following a run's lines for one client. `ending` is the reason to stop before the run is over."""

    ending: Ending | None = None
    _wake: Callable[[], None] | None = None

    async def end_when(self, wait: Callable[[], Awaitable[None]], ending: Ending) -> None:
        """End with `ending` once `wait` returns."""
        # `wait` is a function that is called here. If a coroutine were passed instead, and the task were cancelled
        # before it starts, the coroutine would never be awaited, and Python would warn.
        await wait()
        self.end(ending)

    def end(self, ending: Ending) -> None:
        """End with `ending`, unless an earlier reason is set."""
        self.ending = self.ending or ending
        if self._wake is not None:
            self._wake()

    def has_ended(self, wake: Callable[[], None]) -> bool:
        """Return whether the tail should end. The tail calls this before each read.

        `wake` is a function that ends the tail's wait for new lines.
        """
        self._wake = wake
        return self.ending is not None

    def leave_tail(self) -> None:
        """Forget the tail, which has ended."""
        self._wake = None


async def follow(
    services: Services,
    run_id: str,
    after_seq: int,
    *,
    following: Following,
    wait_for_disconnect: Callable[[], Awaitable[None]],
    deliver: Callable[[Sequence[LineRecord]], Awaitable[None]],
) -> Ending:
    """Pass all lines after `after_seq` to `deliver`, in order and once each, until the run or `following` ends.

    Return why it ended. `wait_for_disconnect` returns when the client has disconnected. While the run writes nothing,
    `deliver` gets an empty list from time to time.
    """
    async with asyncio.TaskGroup() as group:
        watchers = [
            group.create_task(following.end_when(wait_for_disconnect, Ending.CLIENT_GONE)),
            group.create_task(following.end_when(services.stop.wait, Ending.STOPPING)),
        ]
        try:
            lines_of_run = services.store.tails.lines(run_id, after_seq, gone=following.has_ended)
            async with aclosing(lines_of_run):
                async for lines in lines_of_run:
                    await deliver(lines)
        except (OSError, WebSocketDisconnect):
            following.ending = following.ending or Ending.CLIENT_GONE
        except Unavailable:
            following.ending = Ending.UNAVAILABLE
        finally:
            following.leave_tail()
            for watcher in watchers:
                watcher.cancel()
    return following.ending or Ending.RUN_OVER
