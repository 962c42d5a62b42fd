"""Read runs: one of them, or a page of those that a filter selects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, false, func, or_, select, tuple_

from service.core import codec
from service.core.errors import Invalid, NotFound
from service.core.state import State
from service.core.syntax.tags import tag_of
from service.store.database.clock import shown
from service.store.database.reader import Reader
from service.store.queries.log_lines import page_of_lines
from service.store.queries.pages import page_of
from service.store.rows.records import LineRecord, Page, RunRecord
from service.store.rows.states import STATE_AT, slot_of, state_of
from service.store.schema.models import run_tags, runs

SHOWN = (
    *(runs.c.id, runs.c.graph_id, runs.c.status, runs.c.current_node, runs.c.step, runs.c.error, runs.c.tags),
    *(runs.c.created_at, runs.c.started_at, runs.c.finished_at, runs.c.last_seq),
    *(runs.c.parent_id, runs.c.parent_step, runs.c.forked_from_id, runs.c.forked_from_step),
)
"""The columns that `run_record` reads."""

_RUN = select(*SHOWN).where(runs.c.id == bindparam("run_id"))
_PLACE = select(runs.c.created_at, runs.c.id).where(runs.c.id == bindparam("run_id"))


@dataclass(frozen=True, slots=True)
class Filter:
    """Selects the runs of a page. None selects all."""

    status: str | None = None
    graph_id: str | None = None
    tag: str | None = None
    """`key:value`, as `core.tags` reads it."""


class RunQueries:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def get(self, run_id: str) -> RunRecord:
        """Return a run without its state and lines. Raises NotFound."""
        async with self._reader.snapshot() as snapshot:
            row = await snapshot.one(_RUN, run_id=run_id)
        if row is None:
            raise NotFound("run", run_id)
        return run_record(row)

    async def whole(self, run_id: str, after_seq: int, limit: int) -> tuple[RunRecord, State, list[LineRecord]]:
        """Return a run, its state and a page of its lines, all of one moment. Raises NotFound."""
        async with self._reader.snapshot() as snapshot:
            row = await snapshot.one(_RUN, run_id=run_id)
            if row is None:
                raise NotFound("run", run_id)
            state = state_of(await snapshot.all(STATE_AT[snapshot.dialect], run_id=run_id, step=row.step))
            lines = await page_of_lines(snapshot, run_id, after_seq, row.last_seq, limit)
        return run_record(row), state, lines

    async def page(self, which: Filter, limit: int, cursor: str | None = None) -> Page:
        """Return runs, newest first. The cursor is the id of the last run seen; Invalid if no run has it."""
        async with self._reader.snapshot() as snapshot:
            last = None
            if cursor is not None:
                last = await snapshot.one(_PLACE, run_id=cursor)
                if last is None:
                    raise Invalid.at("/cursor", "a cursor is one that an earlier page gave")
            rows = await snapshot.all(newest(which, last, limit + 1, snapshot.dialect))
        return page_of([run_record(row) for row in rows], limit, lambda record: record.run_id)


def newest(which: Filter, last: Sequence[Any] | None, limit: int, dialect: str) -> Any:
    """Return the query for `limit` runs, newest first, older than `last` (its created_at and id)."""
    # With a tag, the tag's own index gives the order; it holds the same time of creation.
    table: Any = runs if which.tag is None else run_tags
    created_at, run_id = (runs.c.created_at, runs.c.id) if which.tag is None else (table.c.created_at, table.c.run_id)
    query = select(*SHOWN).order_by(created_at.desc(), run_id.desc()).limit(limit)
    if which.tag is not None:
        query = query.join(run_tags, run_tags.c.run_id == runs.c.id).where(*_tagged(which.tag, dialect))
    if which.status is not None:
        query = query.where(runs.c.status == which.status)
    if which.graph_id is not None:
        query = query.where(runs.c.graph_id == which.graph_id)
    if last is not None:
        query = query.where(tuple_(created_at, run_id) < tuple_(*last))
    return query


def _tagged(written: str, dialect: str) -> list[Any]:
    """Return conditions for runs with a tag.

    The index holds `key:value`. If that has several colons, the index does not show which one ends the key, so the
    run's own tags decide.
    """
    tag = tag_of(written)
    if tag is None:
        return [false()]
    text = f"{tag.key}:{tag.value}"
    conditions = [run_tags.c.tag == slot_of(text, dialect)]
    if text.count(":") > 1:
        find = func.instr if dialect == "sqlite" else func.strpos
        member = f"{codec.encode(tag.key)}:{codec.encode(tag.value)}"
        conditions.append(or_(find(runs.c.tags, "{" + member) == 1, find(runs.c.tags, "," + member) > 0))
    return conditions


def run_record(row: Any) -> RunRecord:
    """Return the record of a row with the columns SHOWN."""
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
        parent_id=row.parent_id,
        parent_step=row.parent_step,
        forked_from_id=row.forked_from_id,
        forked_from_step=row.forked_from_step,
    )
