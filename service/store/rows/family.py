"""A run and its descendants, which one command executes while all other runs are left alone.

As text, for CROSS JOIN makes SQLite begin with the family, and for each status make one search. Left to itself, and to
an ANALYZE that has seen a small table, it would read whatever is due, and all children that there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Column, bindparam, func, select, text

from service.core.run import WaitKind
from service.core.transitions import Status
from service.store.database.statements import Statement
from service.store.database.transaction import Transaction
from service.store.rows.waits import OPEN
from service.store.schema.models import runs

# What stands below a run that is over is over as well, since a run ends only when its children have.
_FAMILY = f"""\
WITH RECURSIVE open (status) AS (VALUES {", ".join(f"({status})" for status in OPEN)}),
family (id, due_at) AS (
    SELECT id, due_at FROM runs WHERE id = :family
    UNION ALL
    SELECT child.id, child.due_at FROM family CROSS JOIN open CROSS JOIN runs AS child
    WHERE child.parent_id = family.id AND child.status = open.status
)"""

NEXT_OF_FAMILY = Statement(text(f"{_FAMILY} SELECT min(due_at) FROM family WHERE due_at > :now"))
"""When another run of the family is due."""

# A wait of a paused run is kept, and goes on meanwhile.
HELD = text(
    f"{_FAMILY} SELECT runs.id, runs.status, waits.kind, waits.name, waits.due_at FROM family CROSS JOIN runs"
    " LEFT JOIN waits ON waits.run_id = runs.id WHERE runs.id = family.id"
    f" AND (runs.status = '{Status.PAUSED}'"
    f" OR runs.status = '{Status.WAITING}' AND waits.kind <> '{WaitKind.CHILDREN}')"
    f" ORDER BY runs.status = '{Status.WAITING}' AND waits.kind <> '{WaitKind.SIGNAL}', waits.due_at, runs.id"
    " LIMIT :count"
)
"""The runs of the family for which it waits, those first that only somebody else can move on."""


_LOCK = Statement(
    select(runs.c.id)
    .where(runs.c.id == func.any(bindparam("run_ids")))
    .order_by(runs.c.depth, runs.c.id)
    .with_for_update()
)


def due_of_family(columns: Iterable[Column[Any]], *, patiently: bool = False) -> Mapping[str, Statement]:
    """By dialect the query for the `count` runs of the family that have been due for the longest, locked.

    `patiently`: without those whose leases have run out only since `lapsed`.
    """
    is_left = " AND (runs.lease_owner IS NULL OR runs.due_at <= :lapsed)" if patiently else ""
    query = (
        f"{_FAMILY} SELECT {', '.join(map(str, columns))} FROM family CROSS JOIN runs{{by}}"
        " WHERE family.due_at <= :now AND runs.id = family.id{again} ORDER BY family.due_at, family.id LIMIT :count"
    )
    # Asked of the row that is locked as well, which another server may have claimed since this query began.
    locked = query.format(by="", again=" AND runs.due_at <= :now" + is_left) + " FOR UPDATE OF runs SKIP LOCKED"
    found = query.format(by=" INDEXED BY sqlite_autoindex_runs_1", again=is_left)
    return {"sqlite": Statement(text(found)), "postgresql": Statement(text(locked))}


def lock_runs(transaction: Transaction, run_ids: Iterable[str]) -> None:
    """Lock runs before they are moved, parents before their children.

    Differs from SQLite, which has one writer: on PostgreSQL two servers may end a child and park its parent at once,
    and whoever comes second has to see what the other has written.
    """
    if transaction.dialect == "postgresql":
        transaction.all(_LOCK, run_ids=sorted(set(run_ids)))
