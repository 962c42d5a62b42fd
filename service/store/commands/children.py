"""Start the children of a graph node, within the commit of its run.

A child's id is a function of its parent, step, attempt and number, so no child is started twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from sqlalchemy import bindparam, select

from service.core.run import Child, Run
from service.core.state import Changes
from service.core.transitions import Status
from service.store.database import local_events
from service.store.database.statements import ForRows, Statement
from service.store.database.transaction import Transaction
from service.store.rows.changes import insert_changes, rows_of_changes
from service.store.schema.models import graphs, runs

_KNOWN = ForRows(lambda row: select(runs.c.id).where(runs.c.id == row.run_id), run_id=runs.c.id)

_START_NODE = Statement(select(graphs.c.start_node).where(graphs.c.id == bindparam("graph_id")))


def child_id(parent_id: str, step: int, attempt: int, number: int) -> str:
    """The id of a child, in the shape of a UUID of version 7: with its parent's time, the rest a digest."""
    digest = hashlib.sha256(f"{parent_id}:{step}:{attempt}:{number}".encode()).hexdigest()
    variant = "89ab"[int(digest[3], 16) % 4]
    return f"{parent_id[:13]}-7{digest[:3]}-{variant}{digest[4:7]}-{digest[7:19]}"


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
