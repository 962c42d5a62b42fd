"""Follow the lines of a run: stored lines first, then new ones as they are committed.

A tail that has fallen behind reads pages of its own. Tails that have seen everything read together: each read serves
all that have asked since the last one began, so that hundreds of tails cost few reads.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from itertools import islice

from sqlalchemy import text

from service.core import codec
from service.core.errors import NotFound
from service.core.transitions import OVER
from service.store.database.local_events import LocalEvents
from service.store.database.reader import Reader
from service.store.queries.log_lines import LogQueries, line_record
from service.store.rows.records import LineRecord

PAGE_LINES_MAX = 500
PAGE_BYTES_MAX = 2**16
"""Bytes of a page, which a tail holds while its reader does not read. A single line may be larger."""
POLL_S = 1.0
"""The longest wait for an event. A lost event costs no more than this."""
TOGETHER_MAX = 200
"""Tails in one read."""
TOGETHER_LINES_MAX = 10
"""Lines per tail in one read. A tail that gets this many has fallen behind."""
TOGETHER_PAUSE_S_MIN, TOGETHER_PAUSE_S_MAX = 0.002, 0.1
"""Bounds of the pause between reads. Fuller reads leave more time to the rest of the server."""
TOGETHER_REST = 9
"""The pause is so many times as long as the read before it, so that reads take at most a tenth of the time."""

_LINES_TOGETHER = """\
SELECT asked.place, r.last_seq, r.status, l.seq, l.ts, l.level, l.event, l.node, l.step, l.attempt, l.message, l.data
FROM {asked} JOIN runs r ON r.id = asked.run_id AND r.id NOT IN (SELECT run_id FROM deletions) LEFT JOIN {lines}
ORDER BY asked.place, l.seq"""

# `seq` has no gaps, so a range of numbers is a page of lines.
_TOGETHER = {
    "sqlite": _LINES_TOGETHER.format(
        asked="(SELECT key AS place, json_extract(value, '$[0]') AS run_id, json_extract(value, '$[1]') AS after_seq"
        " FROM json_each(:asked)) AS asked",
        lines="log_lines l"
        " ON l.run_id = asked.run_id AND l.seq > asked.after_seq AND l.seq <= asked.after_seq + :limit",
    ),
    # PostgreSQL might read all lines for the join above; SQLite has no LATERAL.
    "postgresql": _LINES_TOGETHER.format(
        asked="(SELECT number - 1 AS place, value ->> 0 AS run_id, CAST(value ->> 1 AS bigint) AS after_seq"
        " FROM json_array_elements(CAST(:asked AS json)) WITH ORDINALITY AS pairs(value, number)) AS asked",
        lines="LATERAL (SELECT * FROM log_lines WHERE run_id = asked.run_id AND seq > asked.after_seq"
        " ORDER BY seq LIMIT :limit) AS l ON true",
    ),
}
"""The query for many tails, by dialect.

Parameters: asked (a JSON array of pairs: a run's id and the last `seq` seen), limit.
"""

LINES_TOGETHER = {dialect: text(statement) for dialect, statement in _TOGETHER.items()}


@dataclass(slots=True)
class Seen:
    """What one read finds."""

    last_seq: int
    over: bool
    lines: list[LineRecord] = field(default_factory=list)


class Tails:
    def __init__(self, logs: LogQueries, reader: Reader, wake: LocalEvents) -> None:
        self._logs = logs
        self._together = _Together(reader)
        self._wake = wake
        self._waiting = _Waiting()
        self.open_count = 0
        """How many tails are being read."""

    async def lines(
        self, run_id: str, after_seq: int, *, gone: Callable[[asyncio.Event], bool]
    ) -> AsyncGenerator[list[LineRecord], None]:
        """Yield all lines of a run after `after_seq`, in order and once each, until it is over. Raises NotFound.

        An empty list comes whenever nothing was new for a while. `gone` is called before every read, and True ends the
        tail. Its argument is the event that ends the wait after the read.
        """
        behind = True
        self.open_count += 1
        try:
            with self._wake.subscribe(run_id) as woken:
                while not gone(woken):
                    woken.clear()
                    seen = await (self._page(run_id, after_seq) if behind else self._together.read(run_id, after_seq))
                    if seen.lines:
                        after_seq = seen.lines[-1].seq
                        yield seen.lines
                    behind = after_seq < seen.last_seq if behind else len(seen.lines) >= TOGETHER_LINES_MAX
                    # No lines although there should be some: they were deleted, and another read would not help.
                    if after_seq >= seen.last_seq or not seen.lines:
                        if seen.over:
                            return
                        if not await self._waiting.wait(woken):
                            yield []
        finally:
            self.open_count -= 1

    async def close(self) -> None:
        """Stop reading. Call this when no tail is open any more."""
        await self._together.close()

    async def _page(self, run_id: str, after_seq: int) -> Seen:
        lines, last_seq, over = await self._logs.page(run_id, after_seq, PAGE_LINES_MAX, PAGE_BYTES_MAX)
        return Seen(last_seq, over, lines)


class _Waiting:
    """The tails of one event loop that wait for an event. One timer for all of them costs less than one for each."""

    def __init__(self) -> None:
        self._due_at: dict[asyncio.Event, float] = {}
        """Until when each tail waits, the first one first."""
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, woken: asyncio.Event) -> bool:
        """Wait for `woken`, at most POLL_S, and return whether it was set before that."""
        loop = asyncio.get_running_loop()
        due_at = self._due_at[woken] = loop.time() + POLL_S
        if self._timer is None:
            self._timer = loop.call_at(due_at, self._wake)
        try:
            await woken.wait()
        finally:
            del self._due_at[woken]
            if not self._due_at and self._timer is not None:
                self._timer.cancel()
                self._timer = None
        return loop.time() < due_at

    def _wake(self) -> None:
        """Wake the tails that have waited for POLL_S, and set the timer for the next one."""
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        for woken, due_at in self._due_at.items():
            if due_at > now:
                self._timer = loop.call_at(due_at, self._wake)
                return
            woken.set()


_Place = tuple[str, int]
"""A run's id, and the last `seq` that was seen."""


class _Together:
    """Reads for many tails at once, in one event loop."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._asked: dict[_Place, list[asyncio.Future[Seen]]] = defaultdict(list)
        self._reading: asyncio.Task[None] | None = None

    async def read(self, run_id: str, after_seq: int) -> Seen:
        """Return the lines after `after_seq`, up to TOGETHER_LINES_MAX."""
        future: asyncio.Future[Seen] = asyncio.get_running_loop().create_future()
        self._asked[run_id, after_seq].append(future)
        if self._reading is None:
            # A task of its own: if a tail read for the others, they would end when its client leaves.
            self._reading = asyncio.create_task(self._work())
        return await future

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    async def _work(self) -> None:
        """Read until no tail asks any more."""
        try:
            while self._asked:
                begun = time.monotonic()
                places = list(islice(self._asked, TOGETHER_MAX))
                asked = [self._asked.pop(place) for place in places]
                found: dict[int, Seen] | Exception
                try:
                    found = await self._find(places)
                except Exception as error:  # Only the tails of this read get the error.
                    found = error
                for number, futures in enumerate(asked):
                    if isinstance(found, dict):
                        _answer(futures, found.get(number) or NotFound("run", places[number][0]))
                    else:
                        _answer(futures, found)
                pause_s = TOGETHER_REST * (time.monotonic() - begun)
                await asyncio.sleep(min(max(pause_s, TOGETHER_PAUSE_S_MIN), TOGETHER_PAUSE_S_MAX))
        finally:
            self._reading = None

    async def _find(self, places: list[_Place]) -> dict[int, Seen]:
        """Return what was found, by index in `places`."""
        async with self._reader.snapshot() as snapshot:
            statement = LINES_TOGETHER[snapshot.dialect]
            rows = await snapshot.all(statement, asked=codec.encode(places), limit=TOGETHER_LINES_MAX)
        found: dict[int, Seen] = {}
        for row in rows:
            if row.place not in found:
                found[row.place] = Seen(row.last_seq, row.status in OVER)
            if row.seq is not None:
                found[row.place].lines.append(line_record(row))
        return found


def _answer(futures: list[asyncio.Future[Seen]], found: Seen | Exception) -> None:
    for future in futures:
        if future.done():
            continue
        if isinstance(found, Exception):
            future.set_exception(found)
        else:
            future.set_result(found)
