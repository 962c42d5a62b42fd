"""Delete runs that are over: mark them in one transaction, and delete their rows in small ones afterwards.

From the mark on, neither calls nor views show the run. A server that is killed in between leaves the mark, and another
server goes on. The mark and the row of the run are deleted last, with the last of its other rows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, null, select, text, update

from service.core import codec
from service.core.errors import Conflict, NotFound, RungraphError
from service.core.transitions import OVER, Status
from service.store.database import local_events
from service.store.database.statements import ForRows, Statement, constant
from service.store.database.transaction import Transaction
from service.store.database.writing.writer import Writer
from service.store.rows.family import lock_runs
from service.store.rows.keys import Scope
from service.store.schema.kept import HAS_FORK, HAS_OPEN_CHILD, is_kept
from service.store.schema.models import TABLES_OF_RUNS, deletions, idempotency_keys, runs

MARKED_MAX = 100
"""The most runs that are marked in one transaction and whose rows are deleted together."""

_TABLES = (deletions.name, idempotency_keys.name)
"""The tables that a mark writes besides `runs`."""
_parent = runs.alias("parent")

_ASKED = ForRows(
    lambda row: (
        select(
            runs.c.id, runs.c.status, _parent.c.status, HAS_FORK.label("has_fork"), HAS_OPEN_CHILD.label("has_child")
        )
        .select_from(runs.outerjoin(_parent, _parent.c.id == runs.c.parent_id))
        .where(runs.c.id == row.run_id, is_kept())
    ),
    run_id=runs.c.id,
)
# Cancels the failed runs that are marked. Otherwise a call that has waited for the lock on a run's row, and has not
# seen the mark, could resume the run.
_CLOSE = ForRows(
    lambda row: (
        update(runs)
        .where(runs.c.id == row.run_id, runs.c.status == constant(Status.FAILED))
        .values(status=constant(Status.CANCELLED), current_node=null(), error=null())
        .returning(runs.c.id)
    ),
    run_id=runs.c.id,
)
# Deletes the keys of starts together with the mark, so that a start with such a key starts a new run. Keys of signals
# are deleted with the other rows.
_FREE_KEY = ForRows(
    lambda row: (
        delete(idempotency_keys)
        .where(idempotency_keys.c.run_id.in_(select(row.run_id)), idempotency_keys.c.scope == constant(Scope.START))
        .returning(idempotency_keys.c.run_id)
    ),
    run_id=idempotency_keys.c.run_id,
)
_IS_MARKED = Statement(select(deletions.c.run_id).where(deletions.c.run_id == bindparam("run_id")))
_TAKEN = ForRows(
    lambda row: (
        select(deletions.c.run_id)
        .where(deletions.c.run_id == row.run_id)
        .with_for_update(of=deletions, skip_locked=True)
    ),
    run_id=deletions.c.run_id,
)


def _delete_rows(table: Any, dialect: str) -> Statement:
    """Return the DELETE of up to `count` rows of the runs `run_ids`, in the form that is fastest on `dialect`."""
    if dialect == "sqlite":
        row = ", ".join(table.primary_key.columns.keys())
        found = f"SELECT {row} FROM {table.name} WHERE run_id IN (SELECT value FROM json_each(:run_ids)) LIMIT :count"
        return Statement(text(f"DELETE FROM {table.name} WHERE ({row}) IN ({found})"))
    found = f"SELECT ctid FROM {table.name} WHERE run_id = ANY(CAST(:run_ids AS text[])) LIMIT :count"
    return Statement(text(f"DELETE FROM {table.name} WHERE ctid = ANY(ARRAY({found}))"))


_DELETE_ROWS = {
    dialect: [_delete_rows(table, dialect) for table in TABLES_OF_RUNS] for dialect in ("sqlite", "postgresql")
}
_UNMARK = ForRows(
    lambda row: delete(deletions).where(deletions.c.run_id.in_(select(row.run_id))).returning(deletions.c.run_id),
    run_id=deletions.c.run_id,
)
_DELETE_RUNS = ForRows(
    lambda row: delete(runs).where(runs.c.id.in_(select(row.run_id))).returning(runs.c.id, runs.c.parent_id),
    run_id=runs.c.id,
)
# Deletes a run's shared values once the run and all its children are gone. The first states of children refer to these
# values even after their parent is deleted.
_DELETE_SHARED = Statement(
    text(
        "DELETE FROM shared_values WHERE run_id = :run_id AND NOT EXISTS (SELECT 1 FROM runs WHERE id = :run_id)"
        " AND NOT EXISTS (SELECT 1 FROM runs WHERE parent_id = :run_id)"
    )
)


class Swept(NamedTuple):
    """What a transaction of a deletion did."""

    is_done: bool
    """Whether the runs have no rows left, except rows that other servers are deleting now."""
    seconds: float
    """How long its statements took."""
    is_alone: bool
    """Whether this server has committed nothing else since the previous transaction of a deletion."""


class DeletionCommands:
    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.turn = asyncio.Lock()
        """The lock that a task holds while it deletes rows, so that only one task of this server does so at a time."""
        self._commands_before = 0.0
        """Commands that this server had committed when the last sweep began."""

    async def mark(self, run_id: str, *, within_s: float | None = None) -> None:
        """Delete the run, as far as anybody can see. Its rows and files are deleted later (`sweep`).

        Raise NotFound if there is no such run, and Conflict if it is not over or if others need it: a fork of it,
        an unfinished child, or its unfinished parent.
        """
        is_marked = False

        def mark(transaction: Transaction) -> RungraphError | None:
            nonlocal is_marked
            if is_marked and transaction.one(_IS_MARKED, run_id=run_id) is not None:
                return None  # An earlier COMMIT of this call, of unknown outcome, has succeeded.
            refusal = _mark(transaction, [run_id])[run_id]
            is_marked = refusal is None
            return refusal

        outcome = await self._writer.write(mark, touches=(run_id, *_TABLES), within_s=within_s)
        if isinstance(outcome, Exception):
            raise outcome

    async def mark_all(self, run_ids: Sequence[str]) -> list[str]:
        """Delete those of `run_ids` that may be deleted, as `mark` does. Return their ids. Pass at most MARKED_MAX."""

        def mark(transaction: Transaction) -> list[str]:
            return [run_id for run_id, refusal in _mark(transaction, run_ids).items() if refusal is None]

        return await self._writer.write(mark, touches=("deletions", *_TABLES))

    async def sweep(self, run_ids: Sequence[str], count: int) -> Swept:
        """Delete up to `count` rows of marked runs, and the runs themselves if no other row is left."""

        def sweep(transaction: Transaction) -> Swept:
            begun = time.perf_counter()
            taken = [run_id for (run_id,) in transaction.each(_TAKEN, _rows(run_ids))]
            is_done = not taken or _sweep(transaction, taken, count)
            return Swept(is_done, time.perf_counter() - begun, is_alone)

        commands = self._writer.batches.sum
        # The last sweep itself is among the commands since then, so a difference of 1 means that there was no other.
        is_alone = commands - self._commands_before <= 1
        self._commands_before = commands
        return await self._writer.write(sweep, touches=("deletions", deletions.name))


def _mark(transaction: Transaction, run_ids: Sequence[str]) -> dict[str, RungraphError | None]:
    """Mark those of `run_ids` that may be deleted. Return for each run why it may not, or None if it is marked."""
    lock_runs(transaction, run_ids)
    refusals: dict[str, RungraphError | None] = {run_id: NotFound("run", run_id) for run_id in run_ids}
    for run_id, status, parent_status, has_fork, has_child in transaction.each(_ASKED, _rows(run_ids)):
        refusals[run_id] = _refusal(status, parent_status, has_fork=bool(has_fork), has_child=bool(has_child))
    free = _rows([run_id for run_id, refusal in refusals.items() if refusal is None])
    transaction.each(_CLOSE, free)
    now = transaction.moment.text()
    transaction.insert(deletions, [{**row, "since": now} for row in free])
    transaction.each(_FREE_KEY, free)
    if free:
        transaction.topics.add(local_events.DELETING)
    return refusals


def _refusal(status: str, parent_status: str | None, *, has_fork: bool, has_child: bool) -> Conflict | None:
    if status not in OVER:
        return Conflict(f"the run is {status}")
    if has_fork:
        return Conflict("a fork of the run is kept: delete the fork first")
    if has_child:
        return Conflict("a child of the run is not over")
    if parent_status is not None and parent_status not in OVER:
        return Conflict(f"the run's parent is {parent_status} and may need its result")
    return None


def _sweep(transaction: Transaction, run_ids: Sequence[str], count: int) -> bool:
    """Delete up to `count` rows of the runs `run_ids`, and then the runs if no row is left. Return whether none is."""
    ids = codec.encode(list(run_ids)) if transaction.dialect == "sqlite" else list(run_ids)
    for statement in _DELETE_ROWS[transaction.dialect]:
        count -= transaction.execute(statement, run_ids=ids, count=count).rowcount
        if count <= 0:
            return False
    transaction.each(_UNMARK, _rows(run_ids))
    gone = transaction.each(_DELETE_RUNS, _rows(run_ids))
    for parent_id in sorted({run_id for row in gone for run_id in row if run_id is not None}):
        transaction.execute(_DELETE_SHARED, run_id=parent_id)
    return True


def _rows(run_ids: Sequence[str]) -> list[dict[str, str]]:
    return [{"run_id": run_id} for run_id in run_ids]
