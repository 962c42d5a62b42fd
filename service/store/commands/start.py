"""Verbs on runs: where a start becomes a row on disk, and where runs are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from service.core import codec
from service.core.errors import Conflict, NotFound, RungraphError, Unavailable
from service.core.state import Changes, State
from service.core.transitions import Status
from service.store.database import local_events
from service.store.database.queued_write import Touched
from service.store.database.statements import ForRows, Statement, constant
from service.store.database.transaction import Transaction
from service.store.database.writer import Writer
from service.store.rows.changes import insert_changes, rows_of_changes
from service.store.rows.first_states import FirstStates
from service.store.rows.keys import Idempotency, take_key, use_of
from service.store.rows.states import slot_of
from service.store.schema.models import graphs, idempotency_keys, run_tags, runs

_START_NODE = Statement(select(graphs.c.start_node).where(graphs.c.id == bindparam("graph_id")))


def _start(row: Any, insert: Any) -> Any:
    started = {
        "id": row.run_id,
        "graph_id": row.graph_id,
        "status": constant(Status.QUEUED),
        "step": constant(0),
        "current_node": row.node,
        "attempt": constant(1),
        "crashes": constant(0),
        "in_flight": constant(0),
        "last_seq": constant(0),
        "lease_token": constant(0),
        "due_at": row.now,
        "forked_from_id": row.forked_from_id,
        "forked_from_step": row.forked_from_step,
        "tags": row.tags,
        "created_at": row.now,
        "moved_at": row.now,
    }
    # Always true: without a WHERE, SQLite would read the ON as one of a join.
    rows = select(*started.values()).where(constant(1) == constant(1))
    return insert(runs).from_select([*started], rows).on_conflict_do_nothing().returning(runs.c.id)


_START = {
    dialect: ForRows(
        partial(_start, insert=insert),
        run_id=runs.c.id,
        graph_id=runs.c.graph_id,
        node=runs.c.current_node,
        forked_from_id=runs.c.forked_from_id,
        forked_from_step=runs.c.forked_from_step,
        tags=runs.c.tags,
        now=runs.c.created_at,
    )
    for dialect, insert in (("sqlite", sqlite.insert), ("postgresql", postgresql.insert))
}
"""By dialect, since ON CONFLICT is no standard SQL."""


@dataclass(frozen=True, slots=True)
class Start:
    """A run to be started; its id is the caller's, so that a start can be repeated."""

    run_id: str
    graph_id: str
    state: State
    tags: Mapping[str, str]
    node: str | None = None
    """Where it begins; None: at the graph's `start_node`."""
    forked_from: tuple[str, int] | None = None
    """The run and the step whose state it begins with."""


class RunCommands:
    def __init__(self, writer: Writer, first_states: FirstStates) -> None:
        self._writer = writer
        self._first_states = first_states

    async def start(
        self, start: Start, idempotency: Idempotency | None = None, *, within_s: float | None = None
    ) -> tuple[str, bool]:
        """Queue a run: its id, and whether it is new (False: the key was used for the same body before).

        One transaction; when this returns, the run is on disk. Conflict where the key was used for another
        body, NotFound without the graph; nothing is written then.
        """

        touching = _touched(start, idempotency)
        outcome = await self._writer.write_with_others(
            self._start_all, (start, idempotency), touching=touching, within_s=within_s
        )
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _start_all(
        self, transaction: Transaction, asked: Sequence[tuple[Start, Idempotency | None]]
    ) -> list[tuple[str, bool] | RungraphError]:
        """For each its outcome. Refusals are returned, not raised: they have written nothing, and others go on."""
        graph_ids = {start.graph_id for start, _ in asked}
        nodes = {graph_id: transaction.one(_START_NODE, graph_id=graph_id) for graph_id in graph_ids}
        outcomes: list[tuple[str, bool] | RungraphError] = []
        new: dict[str, tuple[Start, str]] = {}
        for start, idempotency in asked:
            node = nodes[start.graph_id]
            instead = _instead(transaction, start, idempotency, is_possible=node is not None)
            if isinstance(instead, tuple):
                transaction.confirm()
            if instead is None:
                new[start.run_id] = start, start.node or node[0]
            outcomes.append(instead or (start.run_id, True))
        for start in _insert_runs(transaction, new):
            self._first_states.add(start.run_id, start.state)
        return outcomes


def _touched(start: Start, idempotency: Idempotency | None) -> Touched:
    """The run, its graph, which its row refers to, and what few starts touch."""
    keyed = () if idempotency is None else (idempotency.name, idempotency_keys.name)
    return (start.run_id, start.graph_id, *keyed, *((run_tags.name,) if start.tags else ()))


def _instead(
    transaction: Transaction, start: Start, idempotency: Idempotency | None, *, is_possible: bool
) -> tuple[str, bool] | RungraphError | None:
    """The outcome where no run is to be written; None where one is, and then it has its key."""
    if idempotency is not None and (used := _use_of(transaction, start, idempotency)) is not None:
        return used
    if not is_possible:
        return NotFound("graph", start.graph_id)
    if idempotency is not None and not take_key(transaction, idempotency, start.run_id):
        # Another server has just taken it.
        return _use_of(transaction, start, idempotency) or Unavailable("this Idempotency-Key is just being taken")
    return None


def _use_of(transaction: Transaction, start: Start, idempotency: Idempotency) -> tuple[str, bool] | Conflict | None:
    """What the key stands for already, if anything."""
    used = use_of(transaction, idempotency)
    if used is None or isinstance(used, Conflict):
        return used
    return used, used == start.run_id  # Its own id: repeated after a COMMIT that only looked like a failure.


def _insert_runs(transaction: Transaction, new: Mapping[str, tuple[Start, str]]) -> list[Start]:
    """Write runs, each at its node, but for those that are there: an earlier COMMIT had only looked like a failure.

    Those written.
    """
    now = transaction.moment.text()
    added = transaction.each(_START[transaction.dialect], [_row(start, node, now) for start, node in new.values()])
    started = [new[run_id][0] for (run_id,) in added]
    begin = [rows_of_changes(transaction, start.run_id, 0, Changes(start.state.entries)) for start in started]
    insert_changes(transaction, [row for of_run in begin for row in of_run])
    tags = [
        {"tag": slot, "created_at": now, "run_id": start.run_id}
        for start in started
        for slot in sorted({slot_of(f"{key}:{value}", transaction.dialect) for key, value in start.tags.items()})
    ]
    transaction.insert(run_tags, tags)
    if started:
        transaction.woken.add(local_events.CLAIMABLE)
    return started


def _row(start: Start, node: str, now: str) -> dict[str, Any]:
    forked_from_id, forked_from_step = start.forked_from or (None, None)
    return {
        "run_id": start.run_id,
        "graph_id": start.graph_id,
        "node": node,
        "forked_from_id": forked_from_id,
        "forked_from_step": forked_from_step,
        "tags": codec.encode(dict(start.tags)),
        "now": now,
    }
