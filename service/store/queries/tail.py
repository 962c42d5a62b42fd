"""Follow the lines of a run: stored lines first, then new ones as they are committed.

A tail that has fallen behind reads pages of its own. Tails that have seen everything read together: each read serves
all tails whose runs have new lines since the last read began, so that hundreds of tails cost few reads. A commit only
notes the tails of its runs. It wakes their loop only if no read is in progress or about to follow, which saves a tenth
of the processor time of that loop under the load of `benchmarks/watched.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, islice

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
"""The most bytes of a page, which a tail holds while its client does not read. A single line may be larger."""
POLL_S = 1.0
"""The longest wait for an event. A lost event costs no more than this."""
TOGETHER_MAX = 200
"""The most tails in one read."""
TOGETHER_LINES_MAX = 10
"""The most lines per tail in one read. A tail that has more new lines has fallen behind."""
TOGETHER_PAUSE_S_MIN, TOGETHER_PAUSE_S_MAX = 0.002, 0.1
"""Bounds of the pause between reads. After a longer pause one read serves more tails, so fewer reads are needed."""
TOGETHER_REST = 9
"""Within its bounds, the pause is this many times as long as the last read, so that reads take a tenth of the time."""

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
    """What one read finds for a tail."""

    last_seq: int
    over: bool
    lines: list[LineRecord] = field(default_factory=list)


class Tails:
    def __init__(self, logs: LogQueries, reader: Reader, events: LocalEvents) -> None:
        self._logs = logs
        self._together = _Together(reader)
        self._waiting = _Waiting()
        self._events = events
        self.open_count = 0
        """How many tails are open."""

    async def lines(
        self, run_id: str, after_seq: int, *, gone: Callable[[Callable[[], None]], bool]
    ) -> AsyncGenerator[list[LineRecord], None]:
        """Yield all lines of a run after `after_seq`, in order and once each, until the run is over.

        An empty list comes whenever nothing was new for POLL_S. `gone(wake)` is called before every read and must not
        raise. If it returns True, the tail ends. It may keep `wake`, and call it on this loop to end a wait for new
        lines early. Raise NotFound if there is no such run.
        """
        behind = True
        tail = _Tail(run_id, after_seq, self._together, self._waiting, gone)
        self.open_count += 1
        try:
            with self._events.listen(run_id, tail.note):
                while not gone(tail.wake):
                    seen = await (self._page(tail) if behind else tail.next())
                    if seen is None:
                        continue
                    if seen.lines:
                        tail.after_seq = seen.lines[-1].seq
                    # If a read finds none of the lines that there should be, they were deleted: do not read again.
                    has_all = tail.after_seq >= seen.last_seq or not seen.lines
                    if seen.lines or (tail.has_waited_long and not seen.over):
                        yield seen.lines
                    if has_all and seen.over:
                        return
                    behind = not has_all
        finally:
            self.open_count -= 1

    async def close(self) -> None:
        """Stop reading. Call this when no tail is open any more."""
        await self._together.close()

    async def _page(self, tail: _Tail) -> Seen:
        tail.begin_read()
        lines, last_seq, over = await self._logs.page(tail.run_id, tail.after_seq, PAGE_LINES_MAX, PAGE_BYTES_MAX)
        return Seen(last_seq, over, lines)


class _Tail:
    """An open tail: what it has seen, whether there may be new lines, and its wait for new lines."""

    def __init__(
        self,
        run_id: str,
        after_seq: int,
        together: _Together,
        waiting: _Waiting,
        gone: Callable[[Callable[[], None]], bool],
    ) -> None:
        self.run_id = run_id
        self.after_seq = after_seq
        self.loop = asyncio.get_running_loop()
        self.has_waited_long = False
        """Whether the last wait took POLL_S."""
        self._together = together
        self._waiting = waiting
        self._gone = gone
        self._is_noted = False
        """Whether there may be lines that no read has begun to look for."""
        self._answer: asyncio.Future[Seen | None] | None = None
        """What `next` waits for."""
        self._has_asked = False

    async def next(self) -> Seen | None:
        """Wait until there may be new lines, at most POLL_S, and return up to TOGETHER_LINES_MAX of them.

        Return None if the tail is to end. Raise NotFound if there is no such run.
        """
        self._answer = self.loop.create_future()
        self._has_asked = self.has_waited_long = False
        try:
            if self._is_noted:
                self.wake()
            else:
                self._waiting.add(self)
            return await self._answer
        finally:
            self._answer = None
            self._waiting.discard(self)

    def note(self) -> None:
        """Note that there may be new lines. Any thread may call this."""
        if not self._is_noted:
            self._is_noted = True
            self._together.note(self)

    def wake(self) -> None:
        """End the wait: ask for a read or, if the tail is to end, let it end."""
        self._is_noted = True
        if self._answer is None or self._answer.done() or self._has_asked:
            return
        if self._gone(self.wake):
            self._answer.set_result(None)
        else:
            self._has_asked = True
            self._together.ask(self)

    def wake_after_long(self) -> None:
        self.has_waited_long = True
        self.wake()

    def begin_read(self) -> None:
        """Clear the note of new lines, because the read that begins now finds them."""
        self._is_noted = False

    def answer(self, found: Seen | Exception) -> None:
        if self._answer is None or self._answer.done():  # The tail has ended.
            return
        if isinstance(found, Exception):
            self._answer.set_exception(found)
        else:
            self._answer.set_result(found)


class _Waiting:
    """The tails of one event loop that wait. One timer for all of them costs less than one for each."""

    def __init__(self) -> None:
        self._due_at: dict[_Tail, float] = {}
        """The time until which each tail waits, earliest first, on the loop's clock."""
        self._timer: asyncio.TimerHandle | None = None

    def add(self, tail: _Tail) -> None:
        """Wake `tail` after POLL_S. A call of `discard` before then prevents it."""
        due_at = self._due_at[tail] = tail.loop.time() + POLL_S
        if self._timer is None:
            self._timer = tail.loop.call_at(due_at, self._wake)

    def discard(self, tail: _Tail) -> None:
        self._due_at.pop(tail, None)
        if not self._due_at and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        """Wake the tails that have waited for POLL_S, and set the timer for the next one."""
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._due_at:
            tail, due_at = next(iter(self._due_at.items()))
            if due_at > now:
                self._timer = loop.call_at(due_at, self._wake)
                return
            del self._due_at[tail]
            tail.wake_after_long()


_Place = tuple[str, int]
"""A run's id, and the last `seq` that was seen."""


class _Together:
    """Reads for many tails at once, in one event loop."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._noted: deque[_Tail] = deque()
        """Tails that may have new lines, in the order of the commits."""
        self._asking: dict[_Place, list[_Tail]] = defaultdict(list)
        self._is_awake = False
        """Whether `_work` will look at `_noted` by itself. If not, a note wakes the loop."""
        self._reading: asyncio.Task[None] | None = None

    def note(self, tail: _Tail) -> None:
        """Read for `tail` soon, if it waits. Any thread may call this."""
        self._noted.append(tail)
        if not self._is_awake:
            self._is_awake = True
            with suppress(RuntimeError):  # Nobody waits on a closed loop.
                tail.loop.call_soon_threadsafe(self._begin)

    def ask(self, tail: _Tail) -> None:
        """Read for `tail` soon, and answer it."""
        self._asking[tail.run_id, tail.after_seq].append(tail)
        self._begin()

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
            self._reading = None  # A task that is cancelled before it starts does not execute its `finally`.

    def _begin(self) -> None:
        if self._reading is None:
            # The reads have a task of their own. If one tail read for all, all would end when its client disconnects.
            self._reading = asyncio.create_task(self._work())

    async def _work(self) -> None:
        """Read until no tail has new lines."""
        try:
            while self._take_asking():
                begun = time.monotonic()
                places = list(islice(self._asking, TOGETHER_MAX))
                asking = [self._asking.pop(place) for place in places]
                for tail in chain.from_iterable(asking):
                    tail.begin_read()
                found: dict[int, Seen] | Exception
                try:
                    found = await self._find(places)
                except Exception as error:  # Only the tails of this read get the error.
                    found = error
                for number, tails in enumerate(asking):
                    seen = found if isinstance(found, Exception) else found.get(number)
                    for tail in tails:
                        tail.answer(seen or NotFound("run", tail.run_id))
                pause_s = TOGETHER_REST * (time.monotonic() - begun)
                await asyncio.sleep(min(max(pause_s, TOGETHER_PAUSE_S_MIN), TOGETHER_PAUSE_S_MAX))
        finally:
            self._reading = None

    def _take_asking(self) -> bool:
        """Turn notes into requests. Return whether there are any; if not, the next note wakes the loop."""
        while True:
            self._is_awake = True
            while self._noted:
                self._noted.popleft().wake()
            if self._asking:
                return True
            self._is_awake = False
            # A thread may have noted a tail while `_is_awake` was still set, and woken nobody.
            if not self._noted:
                return False

    async def _find(self, places: list[_Place]) -> dict[int, Seen]:
        """Return what was found, by index in `places`. Places of runs that do not exist are missing."""
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
