"""Where a line reaches whoever follows a run: stored lines first, then new ones as they are committed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from service.store.logs import Logs
from service.store.records import LineRecord
from service.store.wake import Wake

PAGE_LINES_MAX = 500
POLL_S = 1.0
"""The longest wait for a hint; a lost one costs no more than that."""


async def tail(
    logs: Logs, wake: Wake, run_id: str, after_seq: int, *, gone: Callable[[asyncio.Event], bool]
) -> AsyncGenerator[list[LineRecord], None]:
    """All lines of a run after `after_seq`, in order and once each, until it is over; NotFound without it.

    An empty list comes whenever nothing was new for a while. `gone` is asked before every wait, with the event
    that ends the wait when it is set: True ends the tail.
    """
    with wake.subscribe(run_id) as woken:
        while not gone(woken):
            woken.clear()
            lines, _, over = await logs.page(run_id, after_seq, PAGE_LINES_MAX)
            if lines:
                after_seq = lines[-1].seq
                yield lines
            elif over:
                return
            else:
                try:
                    async with asyncio.timeout(POLL_S):
                        await woken.wait()
                except TimeoutError:
                    yield []
