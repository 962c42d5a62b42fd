"""Schedules: what is set, what is shown, and the runs that they start."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import text, update

from service.core import codec
from service.core.operations.schedule import CatchUp, Overlap
from service.core.state import State
from service.core.syntax.ids import derived_run_id
from service.store.database.clock import Moment
from service.store.database.statements import ForRows, Statement
from service.store.database.transaction import Transaction
from service.store.rows.first_states import FirstStates
from service.store.rows.operations.timetable import Timetable
from service.store.rows.runs import NewRun, insert_runs, start_nodes
from service.store.schema.models import NAME_CHARS_INDEXED, runs

# Without the concatenation, SQLite would put `:name` for `name` in the first condition, and not use the index on it.
_LATEST_NAMED = Statement(
    text(
        "SELECT id, start_node FROM graphs WHERE substr(name, 1, 200) = :beginning AND name || '' = :name"
        " ORDER BY coalesce(posted_again_at, created_at) DESC, id DESC LIMIT 1"
    )
)
_MARK = ForRows(
    lambda row: (
        update(runs)
        .where(runs.c.id == row.run_id)
        .values(schedule_name=row.name, schedule_tick=row.tick)
        .returning(runs.c.id)
    ),
    run_id=runs.c.id,
    name=runs.c.schedule_name,
    tick=runs.c.schedule_tick,
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a client sets of a schedule: which runs it starts, and when."""

    graph_id: str | None
    graph_name: str | None
    """Each tick runs the graph that is then the latest of this name. A plan has either this or `graph_id`."""
    timetable: Timetable
    state: str
    """The initial state of its runs, as JSON."""
    tags: str
    """The tags of its runs, as JSON."""
    overlap: Overlap = Overlap.SKIP
    catch_up: CatchUp = CatchUp.ONE


@dataclass(frozen=True, slots=True)
class ScheduleRecord:
    """A schedule as clients see it."""

    name: str
    plan: Plan
    is_paused: bool
    next_at: str | None
    """The next tick. None: the schedule is paused, or no tick comes again."""
    last_at: str | None
    """The last tick that has passed."""
    skipped_at: str | None
    """The last tick that started no run because another run was unfinished."""
    last_run_id: str | None
    created_at: str
    updated_at: str


class Stored(NamedTuple):
    """A row of `schedules`. The fields are in the order of its columns."""

    name: str
    graph_id: str | None
    graph_name: str | None
    cron: str | None
    every_s: float | None
    timezone: str
    state: str
    tags: str
    overlap: str
    catch_up: str
    is_paused: int
    next_at: Any
    due_at: Any
    last_at: Any
    skipped_at: Any
    last_run_id: str | None
    created_at: Any
    updated_at: Any

    @property
    def timetable(self) -> Timetable:
        return Timetable(self.cron, self.every_s, self.timezone)


class Ticked(NamedTuple):
    """A run of a schedule that is to be started."""

    name: str
    tick: str | None
    """None: somebody has triggered it."""
    run: NewRun


def clock_of(moment: Moment, timetable: Timetable) -> int:
    """Return the present time by which `timetable` goes: the database's clock for `cron`, else the store's time."""
    return moment.now_us if timetable.cron is None else moment.clock_us


def due_of(moment: Moment, timetable: Timetable, next_us: int | None) -> int | None:
    """Return the store's time at which to check whether the tick `next_us` has come. None: there is no next tick."""
    return next_us if next_us is None or timetable.cron is None else moment.by_calendar(next_us)


def graph_of(transaction: Transaction, graph_id: str | None, graph_name: str | None) -> tuple[str, str] | None:
    """Return the id and the start node of a graph, or of the latest graph of a name. None: there is no such graph."""
    if graph_id is not None:
        node = start_nodes(transaction, [graph_id]).get(graph_id)
        return None if node is None else (graph_id, node)
    name = graph_name or ""
    row = transaction.one(_LATEST_NAMED, beginning=name[:NAME_CHARS_INDEXED], name=name)
    return None if row is None else (row[0], row[1])


def new_run(stored: Stored, run_id: str, graph: tuple[str, str]) -> NewRun:
    """Return a run of a schedule on a graph, given as its id and its start node."""
    graph_id, node = graph
    state = State.of(codec.loads(stored.state), sys.maxsize)
    return NewRun(run_id, graph_id, node, state, codec.loads(stored.tags))


def run_id_at(name: str, created_us: int, tick_us: int) -> str:
    """Return the id of the run that a tick starts: a UUID of version 7 with the tick's time and a digest.

    The same tick always gets the same id, so that it does not start a second run. `created_us` distinguishes a
    schedule from an earlier one of the same name.
    """
    time = f"{tick_us // 1000:012x}"
    return derived_run_id(f"{time[:8]}-{time[8:]}", created_us, tick_us, name)


def start_ticked(transaction: Transaction, ticked: Sequence[Ticked], first_states: FirstStates) -> None:
    """Queue the runs of schedules, except those that exist."""
    if not ticked:
        return
    inserted = insert_runs(transaction, [each.run for each in ticked])
    new = [each for each in ticked if each.run.id in inserted]
    transaction.each(_MARK, [{"run_id": each.run.id, "name": each.name, "tick": each.tick} for each in new])
    for each in new:
        first_states.add(each.run.id, each.run.state)
