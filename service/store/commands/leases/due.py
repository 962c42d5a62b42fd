"""Find the runs that are due, and when the next one will be.

Queued runs are due at once, waiting runs when their wait is over, running runs when their lease has run out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from sqlalchemy import bindparam, text, update

from service.core.tool import Tool
from service.core.transitions import Status
from service.store.database.clock import microseconds
from service.store.database.statements import Statement
from service.store.database.transaction import Transaction
from service.store.rows.family import NEXT_OF_FAMILY, due_of_family
from service.store.rows.park_and_wake import NEAR_S
from service.store.rows.records import Lease
from service.store.schema.levels import LEVELS, LEVELS_MAX
from service.store.schema.models import runs

CLAIMED = (
    *(runs.c.id, runs.c.graph_id, runs.c.status, runs.c.step, runs.c.current_node, runs.c.attempt),
    *(runs.c.crashes, runs.c.in_flight, runs.c.is_resume_unlogged),
    *(runs.c.last_seq, runs.c.lease_token, runs.c.lease_owner),
    *(runs.c.started_at, runs.c.moved_at, runs.c.failures, runs.c.patches, runs.c.max_steps),
    *(runs.c.parent_id, runs.c.depth, runs.c.due_at, runs.c.priority),
    *(runs.c.missing_tool, runs.c.traceparent, runs.c.tracestate),
)
_COLUMNS = ", ".join(map(str, CLAIMED))
# No condition on status is needed: by a CHECK, only claimable runs have a due time. With such a condition, SQLite
# would read every waiting run from the index by status, and sort.
_IS_DUE = "runs.priority = levels.priority AND runs.due_at <= :now"
# While the clock is ahead, a lease may only seem to have run out. Leases that ran out after `lapsed` are left to their
# holders.
_IS_LEFT = " AND (runs.lease_owner IS NULL OR runs.due_at <= :lapsed)"


def _due(more: str = "") -> Mapping[str, Statement]:
    """Return, by dialect, the query for the first `count` runs that are due. On PostgreSQL it locks them.

    The rows need no sort: the levels are read in order of priority, and the runs of a level in the order of the index.
    """
    # Because of the inner LIMIT, SQLite knows that there are few levels. Without it, SQLite builds a Bloom filter, for
    # which it reads all runs.
    found = (
        f"{LEVELS} SELECT {_COLUMNS} FROM (SELECT priority FROM levels LIMIT {LEVELS_MAX}) AS levels"
        f" CROSS JOIN runs INDEXED BY runs_due WHERE {_IS_DUE}{more} LIMIT :count"
    )
    of_level = (
        f"SELECT {_COLUMNS} FROM runs WHERE {_IS_DUE}{more} ORDER BY runs.due_at, runs.id LIMIT :count"
        " FOR UPDATE SKIP LOCKED"
    )
    locked = f"{LEVELS} SELECT due.* FROM levels CROSS JOIN LATERAL ({of_level}) AS due LIMIT :count"
    return {"sqlite": Statement(text(found)), "postgresql": Statement(text(locked))}


_NEXT = Statement(
    text(
        f"{LEVELS} SELECT min((SELECT min(r.due_at) FROM runs AS r WHERE r.priority = levels.priority"
        " AND r.due_at > :now AND r.due_at <= :soon)) FROM levels"
    )
)
_PUT_OFF = Statement(update(runs).where(runs.c.id == bindparam("run_id")).values(due_at=bindparam("until")))
_DUE = _due()
_DUE_PATIENTLY = _due(_IS_LEFT)
_DUE_OF_FAMILY = due_of_family(CLAIMED)
_DUE_OF_FAMILY_PATIENTLY = due_of_family(CLAIMED, patiently=True)


class Due(NamedTuple):
    """A row of the columns CLAIMED: a run that is due. The fields are in the order of the columns."""

    id: str
    graph_id: str
    status: str
    step: int
    current_node: str
    attempt: int
    crashes: int
    in_flight: int
    is_resume_unlogged: int
    last_seq: int
    lease_token: int
    lease_owner: str | None
    started_at: Any
    moved_at: Any
    failures: int
    patches: int
    max_steps: int | None
    parent_id: str | None
    depth: int
    due_at: Any
    priority: int
    missing_tool: str | None
    traceparent: str | None
    tracestate: str | None

    @property
    def lease(self) -> Lease:
        """The last lease on the run."""
        return Lease(self.id, self.lease_token)

    @property
    def taken_over(self) -> bool:
        """Whether a server that is gone has left the run running."""
        return self.status == Status.RUNNING

    @property
    def may_have_waited(self) -> bool:
        """Whether the run was claimed before, and so may have a wait. Most due runs were just started."""
        return self.started_at is not None

    @property
    def crashed(self) -> bool:
        """Whether a server that is gone may have died during an attempt of the run."""
        return self.taken_over and bool(self.in_flight)


class DueRuns(NamedTuple):
    """Selects the runs that a claim may take."""

    family: str | None
    """The id of a run if only that run and its descendants are selected; None: all."""
    tools: Mapping[str, Tool] | None = None
    """The tools of the server that claims; None: the server takes runs that need any tool."""

    def due(self, transaction: Transaction, count: int) -> list[Due]:
        """Return up to `count` runs that are due, in order of priority, and the longest due first."""
        moment, dialect = transaction.moment, transaction.dialect
        due: dict[str, Any] = {"now": moment.text(), "count": count}
        if patience_us := moment.patience_us:
            due["lapsed"] = moment.text(later_s=-patience_us / 1e6)
        if self.family is not None:
            of_family = _DUE_OF_FAMILY_PATIENTLY if patience_us else _DUE_OF_FAMILY
            rows = transaction.all(of_family[dialect], **due, family=self.family)
        else:
            rows = transaction.all((_DUE_PATIENTLY if patience_us else _DUE)[dialect], **due)
        return [Due(*row) for row in rows]

    def next_due_s(self, transaction: Transaction) -> float:
        """Return the seconds until the next run is due: at most NEAR_S, after which a supervisor claims anyway."""
        moment = transaction.moment
        if self.family is None:
            row = transaction.one(_NEXT, now=moment.text(), soon=moment.text(later_s=NEAR_S))
        else:
            row = transaction.one(NEXT_OF_FAMILY, now=moment.text(), family=self.family)
        if row is None or row[0] is None:
            return NEAR_S
        return min(NEAR_S, max(0.0, (microseconds(row[0]) - moment.now_us) / 1e6))


def put_off(transaction: Transaction, run_ids: Collection[str], later_s: float) -> None:
    """Make runs due later, so that others come first."""
    until = transaction.moment.text(later_s=later_s)
    for run_id in run_ids:
        transaction.execute(_PUT_OFF, run_id=run_id, until=until)
