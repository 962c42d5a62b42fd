"""Queries on a family: a run and its descendants. `rungraph run` executes one family and leaves other runs alone.

The queries are written as text because of CROSS JOIN, which makes SQLite begin with the family and search once per
status. Without it, for example after an ANALYZE of small tables, SQLite would read every due run and every child.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Column, bindparam, func, select, text

from service.core.run import WaitKind
from service.core.transitions import Status
from service.store.database.statements import Statement
from service.store.database.transaction import Transaction
from service.store.schema.kept import OPEN
from service.store.schema.models import runs

# The descendants of a run that is over are over as well, because a run ends only after its children.
_FAMILY = f"""\
WITH RECURSIVE open (status) AS (VALUES {", ".join(f"({status})" for status in OPEN)}),
family (id, due_at) AS (
    SELECT id, due_at FROM runs WHERE id = :family
    UNION ALL
    SELECT child.id, child.due_at FROM family CROSS JOIN open CROSS JOIN runs AS child
    WHERE child.parent_id = family.id AND child.status = open.status
)"""

NEXT_OF_FAMILY = Statement(text(f"{_FAMILY} SELECT min(due_at) FROM family WHERE due_at > :now"))
"""Selects the time at which the next run of the family becomes due. Parameters: family, now."""

# A paused run keeps its wait, which goes on meanwhile.
RESTING = text(
    f"{_FAMILY} SELECT runs.id, runs.status, waits.kind, waits.name, waits.due_at, runs.missing_tool"
    " FROM family CROSS JOIN runs"
    " LEFT JOIN waits ON waits.run_id = runs.id WHERE runs.id = family.id"
    f" AND (runs.status = '{Status.PAUSED}' OR runs.missing_tool IS NOT NULL"
    f" OR runs.status = '{Status.WAITING}' AND waits.kind <> '{WaitKind.CHILDREN}')"
    f" ORDER BY runs.status = '{Status.WAITING}' AND waits.kind <> '{WaitKind.SIGNAL}', waits.due_at, runs.id"
    " LIMIT :count"
)
"""The runs of the family that are paused, lack a tool, or wait for something other than children.

Runs that wait for time or for a limit come last, since nobody has to do anything for them. Parameters: family, count.
"""


_LOCK = Statement(
    select(runs.c.id)
    .where(runs.c.id == func.any(bindparam("run_ids")))
    .order_by(runs.c.depth, runs.c.id)
    .with_for_update()
)


def due_of_family(columns: Iterable[Column[Any]], *, patiently: bool = False) -> Mapping[str, Statement]:
    """Return, by dialect, the query for the first `count` runs of the family that are due. On PostgreSQL it locks them.

    `patiently` leaves out the runs whose leases ran out after `lapsed`.
    """
    is_left = " AND (runs.lease_owner IS NULL OR runs.due_at <= :lapsed)" if patiently else ""
    query = (
        f"{_FAMILY} SELECT {', '.join(map(str, columns))} FROM family CROSS JOIN runs{{by}}"
        " WHERE family.due_at <= :now AND runs.id = family.id{again}"
        " ORDER BY runs.priority DESC, family.due_at, family.id LIMIT :count"
    )
    # The condition is repeated for the locked row: another server may have claimed it since this query began.
    locked = query.format(by="", again=" AND runs.due_at <= :now" + is_left) + " FOR UPDATE OF runs SKIP LOCKED"
    found = query.format(by=" INDEXED BY sqlite_autoindex_runs_1", again=is_left)
    return {"sqlite": Statement(text(found)), "postgresql": Statement(text(locked))}


def left_of_family(columns: Iterable[Column[Any]]) -> Mapping[str, Statement]:
    """Return, for each dialect, the query that finds the runs of the family that wait for a server with their tool."""
    query = f"{_FAMILY} SELECT {', '.join(map(str, columns))} FROM family CROSS JOIN runs"
    condition = " WHERE runs.id = family.id AND runs.missing_tool IS NOT NULL ORDER BY runs.created_at, runs.id"
    found = f"{query} INDEXED BY sqlite_autoindex_runs_1{condition}"
    locked = f"{query}{condition} FOR UPDATE OF runs SKIP LOCKED"
    return {"sqlite": Statement(text(found)), "postgresql": Statement(text(locked))}


def lock_runs(transaction: Transaction, run_ids: Iterable[str]) -> None:
    """Lock runs before their rows are updated, parents before their children.

    SQLite has one writer and needs no lock. On PostgreSQL two servers may end a child and park its parent at the same
    time, and the second must see what the first has written.
    """
    if transaction.dialect == "postgresql":
        transaction.all(_LOCK, run_ids=sorted(set(run_ids)))
