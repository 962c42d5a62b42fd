"""Start the runs of schedules whose ticks have come: a tick moves its schedule and starts its run in one transaction.

Any server with an engine looks for ticks when it claims runs. It locks the schedule's row and stores the next tick
there, so that no tick starts two runs, whichever servers are up or die.

A cron expression goes by the database's clock. If that clock is set back, no tick comes twice. An interval is a
duration, which does not depend on that clock.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from sqlalchemy import bindparam, func, select, update

from service.core.errors import Unavailable
from service.core.operations.schedule import CatchUp, Overlap, Turn, take_turn
from service.store.database.clock import microseconds, text_of
from service.store.database.statements import ForRows, Statement
from service.store.database.transaction import Transaction
from service.store.database.writing.writer import Writer
from service.store.rows.first_states import FirstStates
from service.store.rows.operations.schedules import (
    Stored,
    Ticked,
    clock_of,
    due_of,
    graph_of,
    new_run,
    run_id_at,
    start_ticked,
)
from service.store.schema.kept import OPEN
from service.store.schema.models import runs
from service.store.schema.operations import schedules

logger = logging.getLogger(__name__)

LOOK_S = 1.0
"""The longest pause between two searches of a server for ticks."""
TICKS_MAX = 100
"""The most runs that one transaction starts, and the most schedules that it reads."""
STATES_LENGTH_MAX = 4 * 2**20
"""The most characters of initial states in one transaction. The first run is started even if its state has more."""
DEFER_S = 1.0
"""How long a missed tick is put off while a run of its schedule is unfinished."""
UNREADABLE_S = 60.0
"""How long a schedule is put off if this server does not know its time zone, or if its graph does not exist."""

_DUE = Statement(
    select(schedules)
    .where(schedules.c.due_at <= bindparam("now"))
    .order_by(schedules.c.due_at, schedules.c.name)
    .limit(bindparam("count"))
    .with_for_update(skip_locked=True)
)
_NEXT = Statement(select(func.min(schedules.c.due_at)).where(schedules.c.due_at > bindparam("now")))
_UNFINISHED = ForRows(
    lambda row: (
        select(runs.c.schedule_name)
        .where(runs.c.schedule_name == row.name, runs.c.status.in_(OPEN))
        .group_by(runs.c.schedule_name)
    ),
    name=runs.c.schedule_name,
)
_MOVE = ForRows(
    lambda row: (
        update(schedules)
        .where(schedules.c.name == row.name, schedules.c.due_at.is_not(None))
        .values(
            next_at=row.next_at,
            due_at=row.due_at,
            last_at=func.coalesce(row.last_at, schedules.c.last_at),
            skipped_at=func.coalesce(row.skipped_at, schedules.c.skipped_at),
            last_run_id=func.coalesce(row.run_id, schedules.c.last_run_id),
        )
        .returning(schedules.c.name)
    ),
    name=schedules.c.name,
    next_at=schedules.c.next_at,
    due_at=schedules.c.due_at,
    last_at=schedules.c.last_at,
    skipped_at=schedules.c.skipped_at,
    run_id=schedules.c.last_run_id,
)


class TickCommands:
    def __init__(self, writer: Writer, first_states: FirstStates) -> None:
        self._writer = writer
        self._first_states = first_states
        self._look: Future[float] | None = None
        self._look_at = 0.0

    def look(self) -> None:
        """Queue a search for ticks, which starts the runs whose ticks have come, unless it is too early for one.

        Return without waiting for it. A claim that is requested directly afterwards is in the same transaction.
        """
        if time.monotonic() < self._look_at or (self._look is not None and not self._look.done()):
            return
        self._look_at = time.monotonic() + LOOK_S
        self._look = self._writer.submit(self.start_due, touches=("ticks", schedules.name))
        self._look.add_done_callback(self._note)

    def next_look_s(self) -> float:
        """Return the number of seconds until the next search: LOOK_S while one is queued, which may take any time."""
        is_looking = self._look is not None and not self._look.done()
        return LOOK_S if is_looking else max(0.0, self._look_at - time.monotonic())

    def start_due(self, transaction: Transaction) -> float:
        """Start the runs whose ticks have come. Return the number of seconds until further ticks may be due."""
        due = [Stored(*row) for row in transaction.all(_DUE, now=transaction.moment.text(), count=TICKS_MAX)]
        unfinished = _unfinished(transaction, due)
        ticked: list[Ticked] = []
        moves: list[dict[str, Any]] = []
        length = 0
        for row in due:
            room = min(TICKS_MAX - len(ticked), (STATES_LENGTH_MAX - length) // len(row.state))
            if room <= 0 and ticked:
                break
            started, move = _turn_of(transaction, row, row.name in unfinished, max(1, room))
            length += len(row.state) * len(started)
            ticked += started
            moves.append(move)
        start_ticked(transaction, ticked, self._first_states)
        transaction.each(_MOVE, moves)
        now = transaction.moment.text()
        is_cut = len(moves) < len(due) or len(moves) == TICKS_MAX
        has_more = is_cut or any(move["due_at"] is not None and move["due_at"] <= now for move in moves)
        return 0.0 if has_more else _next_s(transaction)

    def _note(self, look: Future[float]) -> None:
        if look.cancelled():
            return
        error = look.exception()
        if error is None:
            self._look_at = time.monotonic() + min(LOOK_S, look.result())
        elif not isinstance(error, Unavailable):  # The claims already report a database that refuses writes.
            logger.error("no tick can start a run now", exc_info=error)


def _unfinished(transaction: Transaction, due: Sequence[Stored]) -> set[str]:
    """Return the names of the schedules that have to skip ticks, because a run of theirs is unfinished."""
    asked = [{"name": row.name} for row in due if row.overlap == Overlap.SKIP]
    return {name for (name,) in transaction.each(_UNFINISHED, asked)}


def _next_s(transaction: Transaction) -> float:
    """Return the number of seconds until the next schedule is due, or LOOK_S if none will be."""
    [next_at] = transaction.one(_NEXT, now=transaction.moment.text())
    return LOOK_S if next_at is None else max(0.0, (microseconds(next_at) - transaction.moment.now_us) / 1e6)


def _turn_of(
    transaction: Transaction, row: Stored, is_unfinished: bool, room: int
) -> tuple[list[Ticked], dict[str, Any]]:
    """Return the runs that a schedule starts now, at most `room`, and the parameters of _MOVE for its row."""
    moment = transaction.moment
    try:
        turn = take_turn(
            row.timetable,
            microseconds(row.next_at),
            clock_of(moment, row.timetable),
            CatchUp(row.catch_up),
            must_wait=is_unfinished,
            starts_max=1 if row.overlap == Overlap.SKIP else room,
        )
        graph = graph_of(transaction, row.graph_id, row.graph_name)
        if graph is None:
            raise ValueError("there is no such graph")
    except (KeyError, ValueError, OSError) as error:  # A zone that this server does not have raises a KeyError.
        logger.warning("schedule %r is put off for %g s: %s", row.name, UNREADABLE_S, error)
        return [], _move(row, Turn((), microseconds(row.next_at)), moment.now_us + round(UNREADABLE_S * 1e6))
    created_us = microseconds(row.created_at)
    started = [
        Ticked(row.name, text_of(tick_us), new_run(row, run_id_at(row.name, created_us, tick_us), graph))
        for tick_us in turn.starts
    ]
    due_us = moment.now_us + round(DEFER_S * 1e6) if turn.is_deferred else due_of(moment, row.timetable, turn.next_us)
    return started, _move(row, turn, due_us, started[-1].run.id if started else None)


def _move(row: Stored, turn: Turn, due_us: int | None, run_id: str | None = None) -> dict[str, Any]:
    times = {"next_at": turn.next_us, "due_at": due_us, "last_at": turn.last_us, "skipped_at": turn.skipped_us}
    texts = {name: None if us is None else text_of(us) for name, us in times.items()}
    return {"name": row.name, "run_id": run_id, **texts}
