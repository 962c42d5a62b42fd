"""Verbs on runs: where a start becomes a row on disk, and where runs are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select, tuple_

from service.core import codec
from service.core.errors import Conflict, Invalid, NotFound, RungraphError, Unavailable
from service.core.state import Changes, State
from service.core.transitions import Status
from service.store import wake
from service.store.clock import shown
from service.store.graphs import page_of
from service.store.logs import line_record, lines_after
from service.store.reader import Reader
from service.store.records import LineRecord, Page, RunRecord
from service.store.sql import Statement, every_column
from service.store.states import STATE_AT, slot_of, state_of
from service.store.steps import insert_changes, rows_of_changes
from service.store.tables import graphs, idempotency_keys, run_tags, runs
from service.store.transaction import Transaction
from service.store.writer import Writer

_KEY = Statement(
    select(idempotency_keys.c.body_digest, idempotency_keys.c.run_id).where(
        idempotency_keys.c.scope == bindparam("scope"), idempotency_keys.c.key == bindparam("key")
    )
)
_ADD_KEY = Statement(
    lambda insert: (
        insert(idempotency_keys)
        .values(every_column(idempotency_keys))
        .on_conflict_do_nothing()
        .returning(idempotency_keys.c.run_id)
    )
)
_START_NODE = Statement(select(graphs.c.start_node).where(graphs.c.id == bindparam("graph_id")))
_START = Statement(
    lambda insert: (
        insert(runs)
        .values(
            id=bindparam("run_id"),
            graph_id=bindparam("graph_id"),
            status=Status.QUEUED.value,
            step=0,
            current_node=bindparam("node"),
            attempt=1,
            crashes=0,
            in_flight=0,
            last_seq=0,
            lease_token=0,
            due_at=bindparam("now"),
            tags=bindparam("tags"),
            created_at=bindparam("now"),
            moved_at=bindparam("now"),
        )
        .on_conflict_do_nothing()
        .returning(runs.c.id)
    )
)

_SHOWN = (
    *(runs.c.id, runs.c.graph_id, runs.c.status, runs.c.current_node, runs.c.step, runs.c.error, runs.c.tags),
    *(runs.c.created_at, runs.c.started_at, runs.c.finished_at, runs.c.last_seq),
)


@dataclass(frozen=True, slots=True)
class Start:
    """A run to be started; its id is the caller's, so that a start can be repeated."""

    run_id: str
    graph_id: str
    state: State
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A client's key for a call; the same key with another digest is a conflict."""

    scope: str
    key: str
    body_digest: str


@dataclass(frozen=True, slots=True)
class Filter:
    """Which runs a page shows; None asks nothing."""

    status: str | None = None
    graph_id: str | None = None
    tag: str | None = None
    """`key:value`."""


class Runs:
    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer = writer
        self._reader = reader

    async def start(
        self, start: Start, idempotency: Idempotency | None = None, *, within_s: float | None = None
    ) -> tuple[str, bool]:
        """Queue a run: its id, and whether it is new (False: the key was used for the same body before).

        One transaction; when this returns, the run is on disk. Conflict where the key was used for another
        body, NotFound without the graph; nothing is written then.
        """

        def verb(transaction: Transaction) -> tuple[str, bool] | RungraphError:
            # Refusals are returned, not raised: they have written nothing, and their batch goes on.
            if idempotency is not None and (used := _use_of(transaction, start, idempotency)) is not None:
                return used
            graph = transaction.one(_START_NODE, graph_id=start.graph_id)
            if graph is None:
                return NotFound("graph", start.graph_id)
            if idempotency is not None and not _take_key(transaction, start, idempotency):
                # Another server has just taken it.
                return _use_of(transaction, start, idempotency) or Unavailable(
                    "this Idempotency-Key is just being taken"
                )
            _insert_run(transaction, start, graph[0])
            transaction.woken.add(wake.CLAIMABLE)
            return start.run_id, True

        outcome = await self._writer.write(verb, within_s=within_s)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def get(self, run_id: str) -> RunRecord:
        async with self._reader.snapshot() as snapshot:
            row = await snapshot.one(select(*_SHOWN).where(runs.c.id == run_id))
        if row is None:
            raise NotFound("run", run_id)
        return _record(row)

    async def whole(self, run_id: str, after_seq: int, limit: int) -> tuple[RunRecord, State, list[LineRecord]]:
        """A run with its state and a page of its lines, all of one moment."""
        async with self._reader.snapshot() as snapshot:
            row = await snapshot.one(select(*_SHOWN).where(runs.c.id == run_id))
            if row is None:
                raise NotFound("run", run_id)
            state = state_of(await snapshot.all(STATE_AT[snapshot.dialect], run_id=run_id, step=row.step))
            lines = await snapshot.all(lines_after(run_id, after_seq, limit))
        return _record(row), state, [line_record(line) for line in lines]

    async def page(self, which: Filter, limit: int, cursor: str | None = None) -> Page:
        """The newest first. The cursor is the id of the last run seen; Invalid where it is none."""
        async with self._reader.snapshot() as snapshot:
            last = None
            if cursor is not None:
                last = await snapshot.one(select(runs.c.created_at, runs.c.id).where(runs.c.id == cursor))
                if last is None:
                    raise Invalid.at("/cursor", "a cursor is one that an earlier page gave")
            rows = await snapshot.all(_newest(which, last, limit + 1, snapshot.dialect))
        return page_of([_record(row) for row in rows], limit, lambda record: record.run_id)


def _use_of(transaction: Transaction, start: Start, idempotency: Idempotency) -> tuple[str, bool] | Conflict | None:
    """What the key stands for already, if anything."""
    used = transaction.one(_KEY, scope=idempotency.scope, key=idempotency.key)
    if used is None:
        return None
    digest, run_id = used
    if digest != idempotency.body_digest:
        return Conflict("this Idempotency-Key was used for another body")
    return run_id, run_id == start.run_id  # Its own id: repeated after a COMMIT that only looked like a failure.


def _take_key(transaction: Transaction, start: Start, idempotency: Idempotency) -> bool:
    """Waits for a server that is just taking it."""
    taken = transaction.one(
        _ADD_KEY,
        scope=idempotency.scope,
        key=idempotency.key,
        body_digest=idempotency.body_digest,
        run_id=start.run_id,
    )
    return taken is not None


def _insert_run(transaction: Transaction, start: Start, start_node: str) -> None:
    now = transaction.moment.text()
    added = transaction.one(
        _START,
        run_id=start.run_id,
        graph_id=start.graph_id,
        node=start_node,
        tags=codec.encode(dict(start.tags)),
        now=now,
    )
    if added is None:  # Repeated after a COMMIT that only looked like a failure.
        return
    insert_changes(transaction, rows_of_changes(transaction, start.run_id, 0, Changes(start.state.entries)))
    tags = sorted({slot_of(f"{key}:{value}", transaction.dialect) for key, value in start.tags.items()})
    transaction.insert(run_tags, [{"tag": tag, "created_at": now, "run_id": start.run_id} for tag in tags])


def _newest(which: Filter, last: Sequence[Any] | None, limit: int, dialect: str) -> Any:
    # With a tag, the tag's own index gives the order; it holds the same moment of creation.
    table: Any = runs if which.tag is None else run_tags
    created_at, run_id = (runs.c.created_at, runs.c.id) if which.tag is None else (table.c.created_at, table.c.run_id)
    query = select(*_SHOWN).order_by(created_at.desc(), run_id.desc()).limit(limit)
    if which.tag is not None:
        slot = slot_of(which.tag, dialect)
        query = query.join(run_tags, run_tags.c.run_id == runs.c.id).where(run_tags.c.tag == slot)
    if which.status is not None:
        query = query.where(runs.c.status == which.status)
    if which.graph_id is not None:
        query = query.where(runs.c.graph_id == which.graph_id)
    if last is not None:
        query = query.where(tuple_(created_at, run_id) < tuple_(*last))
    return query


def _record(row: Any) -> RunRecord:
    return RunRecord(
        run_id=row.id,
        graph_id=row.graph_id,
        status=row.status,
        current_node=row.current_node,
        step=row.step,
        error=row.error,
        tags=row.tags,
        created_at=shown(row.created_at) or "",
        started_at=shown(row.started_at),
        finished_at=shown(row.finished_at),
        last_seq=row.last_seq,
    )
