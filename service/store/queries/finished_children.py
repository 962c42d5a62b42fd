"""Read how far the children of a graph node have got."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, func, select, true, union_all

from service.core import codec
from service.core.errors import StateInvalid
from service.core.moves import Gather, Gathered
from service.core.run import Run
from service.core.state import State
from service.core.transitions import Status
from service.store.database.statements import Statement, constant
from service.store.database.transaction import Transaction
from service.store.database.writing.writer import Writer
from service.store.rows.park_and_wake import FAILED, children_of
from service.store.rows.states import read_states
from service.store.schema.kept import OPEN
from service.store.schema.models import runs

STATES_AT_ONCE = 100
"""The most final states of children that one transaction reads; fewer if they are large."""

_OF_STEP = children_of(runs, bindparam("parent_id"), bindparam("parent_step"), bindparam("parent_attempt"))

# Children are numbered without gaps, so the highest number of each status tells how many were started. That is one
# index lookup per status; counting the children would cost more with each of them.
_last = union_all(
    *(
        select(select(func.max(runs.c.child_number)).where(_OF_STEP, runs.c.status == status).scalar_subquery())
        for status in map(constant, Status)
    )
).subquery("last")
_started = select(func.coalesce(func.max(_last.c[0]) + constant(1), constant(0))).scalar_subquery()
_open = select(func.count()).where(_OF_STEP, runs.c.status.in_(OPEN)).scalar_subquery()
_counts = select(_started.label("started"), _open.label("open")).subquery("counts")
_failed = (
    select(runs.c.child_number, runs.c.status, runs.c.error, runs.c.id)
    .where(_OF_STEP, runs.c.status.in_(FAILED))
    .order_by(runs.c.child_number)
    .limit(1)
    .subquery("failed")
)
# One statement, so that the counts agree: on PostgreSQL each statement sees what was committed before it began.
_COUNTED = Statement(select(_counts, _failed).select_from(_counts.outerjoin(_failed, true())))
_COMPLETED = Statement(
    select(runs.c.id, runs.c.step)
    .where(
        _OF_STEP,
        runs.c.status == constant(Status.COMPLETED),
        runs.c.child_number >= bindparam("first"),
        runs.c.child_number < bindparam("end"),
    )
    .order_by(runs.c.child_number)
)


class ChildQueries:
    """Reads through the writer. So a step, which depends on the answer, sees all that this server wrote before."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def gathered(self, run: Run, move: Gather, total: int, state_bytes_max: int) -> Gathered:
        """Return how far the children of the node have got. The node is to have `total` children.

        Raise StateInvalid if their final states together have more than `state_bytes_max` bytes.
        """
        place = {"parent_id": run.id, "parent_step": move.step, "parent_attempt": move.attempt}

        def count(transaction: Transaction) -> Gathered:
            started, open_count, number, status, error, failed_id = transaction.one(_COUNTED, **place)
            failed = None if number is None else (number, status, _message(error))
            return Gathered(started, open_count, failed=failed, failed_id=failed_id)

        gathered = await self._writer.write(count, touches=(run.id,))
        if gathered.failed is not None or gathered.open or gathered.started < total:
            return gathered
        return gathered._replace(states=await self._states(place, total, state_bytes_max))

    async def _states(self, place: dict[str, Any], total: int, state_bytes_max: int) -> list[str]:
        """Return the children's final states in order. Several transactions may read them, because they are final."""
        texts: list[str] = []
        length = 0

        def read(transaction: Transaction) -> list[State]:
            first = len(texts)
            completed = transaction.all(_COMPLETED, **place, first=first, end=first + STATES_AT_ONCE)
            return read_states(transaction, completed)

        while len(texts) < total and (part := await self._writer.write(read, touches=(place["parent_id"],))):
            texts += (more := [state.to_text() for state in part])
            length += sum(map(codec.byte_length, more))
            if length > state_bytes_max:
                raise StateInvalid(f"the children's states have more than {state_bytes_max} bytes")
        return texts


def _message(error: str | None) -> str:
    if error is None:
        return ""
    found = codec.loads(error)
    return f"{found['type']}: {found['message']}"
