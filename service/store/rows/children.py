"""Children: runs that a graph node starts. They are runs like any other; what is here ties them to their parent.

Their ids are a function of parent, step, attempt and number, so that none is started twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import bindparam, func, select, true, union_all

from service.core import codec
from service.core.errors import StateInvalid
from service.core.moves import Gather, Gathered
from service.core.run import Child, Run
from service.core.state import Changes, State
from service.core.transitions import Status
from service.store.database import local_events
from service.store.database.statements import Each, Statement, constant
from service.store.database.transaction import Transaction
from service.store.database.writer import Writer
from service.store.rows.changes import insert_changes, rows_of_changes
from service.store.rows.states import first_states
from service.store.rows.waits import FAILED, OPEN, children_of
from service.store.schema.models import graphs, runs

STATES_AT_ONCE = 100
"""Final states of children that one transaction reads at most; of large ones fewer."""

_OF_STEP = children_of(runs, bindparam("parent_id"), bindparam("parent_step"), bindparam("parent_attempt"))

# By their numbers, which have no holes: the last of each status is one look into the index, and counting them all would
# cost the more the longer the node is at it.
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
# In one statement: on PostgreSQL each sees what others have committed by then, and none of them is over by half.
_COUNTED = Statement(select(_counts, _failed).select_from(_counts.outerjoin(_failed, true())))
_SOME = Statement(
    select(runs.c.id, runs.c.step)
    .where(
        _OF_STEP,
        runs.c.status == constant(Status.COMPLETED),
        runs.c.child_number >= bindparam("first"),
        runs.c.child_number < bindparam("end"),
    )
    .order_by(runs.c.child_number)
)

_KNOWN = Each(lambda given: select(runs.c.id).where(runs.c.id == given.run_id), run_id=runs.c.id)

_START_NODE = Statement(select(graphs.c.start_node).where(graphs.c.id == bindparam("graph_id")))

_LOCK = Statement(
    select(runs.c.id)
    .where(runs.c.id == func.any(bindparam("run_ids")))
    .order_by(runs.c.depth, runs.c.id)
    .with_for_update()
)


def child_id(parent_id: str, step: int, attempt: int, number: int) -> str:
    """The id of a child, in the shape of a UUID of version 7: with its parent's time, the rest a digest."""
    digest = hashlib.sha256(f"{parent_id}:{step}:{attempt}:{number}".encode()).hexdigest()
    variant = "89ab"[int(digest[3], 16) % 4]
    return f"{parent_id[:13]}-7{digest[:3]}-{variant}{digest[4:7]}-{digest[7:19]}"


class Children:
    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def gathered(self, run: Run, move: Gather, total: int, state_bytes_max: int) -> Gathered:
        """How far the children of the node are, of which there are to be `total`.

        StateInvalid where their final states together are more than `state_bytes_max` bytes.
        """
        place = {"parent_id": run.id, "parent_step": move.step, "parent_attempt": move.attempt}

        def verb(transaction: Transaction) -> Gathered:
            started, count, number, status, error, failed_id = transaction.one(_COUNTED, **place)
            failed = None if number is None else (number, status, _message(error))
            return Gathered(started, count, failed=failed, failed_id=failed_id)

        gathered = await self._writer.write(verb, touching=(run.id,))
        if gathered.failed is not None or gathered.open or gathered.started < total:
            return gathered
        return gathered._replace(states=await self._states(place, total, state_bytes_max))

    async def _states(self, place: dict[str, Any], total: int, state_bytes_max: int) -> list[str]:
        """The children's final states, in order. A part at a time: they are over, and change no more."""
        texts: list[str] = []
        length = 0

        def verb(transaction: Transaction) -> list[State]:
            first = len(texts)
            return first_states(transaction, transaction.all(_SOME, **place, first=first, end=first + STATES_AT_ONCE))

        while len(texts) < total and (part := await self._writer.write(verb, touching=(place["parent_id"],))):
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


def start_children(transaction: Transaction, parent: Run, children: Sequence[Child]) -> None:
    """Queue `children` of the parent's next step, but for those that are there: an earlier COMMIT did not look so."""
    step, attempt = parent.step + 1, parent.attempt
    ids = {child.number: child_id(parent.id, step, attempt, child.number) for child in children}
    known = {run_id for (run_id,) in transaction.each(_KNOWN, [{"run_id": run_id} for run_id in ids.values()])}
    nodes = {
        graph_id: transaction.one(_START_NODE, graph_id=graph_id)[0]
        for graph_id in {child.graph_id for child in children}
    }
    new = [child for child in children if ids[child.number] not in known]
    now = transaction.moment.text()
    rows = []
    for child in new:
        place = {"parent_id": parent.id, "parent_step": step, "parent_attempt": attempt, "child_number": child.number}
        begun = {"id": ids[child.number], "graph_id": child.graph_id, "current_node": nodes[child.graph_id]}
        rows.append({**_ROW, **begun, **place, "depth": parent.depth + 1, **dict.fromkeys(_TIMES, now)})
    transaction.insert(runs, rows)
    begin = [rows_of_changes(transaction, ids[child.number], 0, Changes(child.state.entries)) for child in new]
    insert_changes(transaction, [row for of_child in begin for row in of_child])
    transaction.woken.add(local_events.CLAIMABLE)


_ROW = dict.fromkeys(runs.c.keys()) | {
    "status": Status.QUEUED.value,
    "attempt": 1,
    "tags": "{}",
    **dict.fromkeys(
        ("step", "crashes", "in_flight", "last_seq", "lease_token", "failures", "patches", "pause_asked"), 0
    ),
}
"""A run that has just been started, but for what tells it from others."""
_TIMES = ("due_at", "created_at", "moved_at")


def lock(transaction: Transaction, run_ids: Iterable[str]) -> None:
    """Lock runs before they are moved, parents before their children.

    Differs from SQLite, which has one writer: on PostgreSQL two servers may end a child and park its parent at once,
    and whoever comes second has to see what the other has written.
    """
    if transaction.dialect == "postgresql":
        transaction.all(_LOCK, run_ids=sorted(set(run_ids)))
