"""Start the children of a graph node, within the commit of its run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from service.core.run import Child, Run
from service.store.database.transaction import Transaction
from service.store.rows.runs import ChildPlace, NewRun, insert_runs, start_nodes


def child_id(parent_id: str, step: int, attempt: int, number: int) -> str:
    """Return the id of a child: a UUID of version 7 with its parent's time, and a digest of the arguments.

    The same child always gets the same id, so that it is not started twice.
    """
    digest = hashlib.sha256(f"{parent_id}:{step}:{attempt}:{number}".encode()).hexdigest()
    variant = "89ab"[int(digest[3], 16) % 4]
    return f"{parent_id[:13]}-7{digest[:3]}-{variant}{digest[4:7]}-{digest[7:19]}"


def start_children(transaction: Transaction, parent: Run, children: Sequence[Child]) -> None:
    """Queue `children` of the next step of `parent`, except those that exist."""
    nodes = start_nodes(transaction, {child.graph_id for child in children})
    step, attempt = parent.step + 1, parent.attempt
    insert_runs(
        transaction,
        [
            NewRun(
                child_id(parent.id, step, attempt, child.number),
                child.graph_id,
                nodes[child.graph_id],
                child.state,
                place=ChildPlace(parent.id, step, attempt, child.number),
                depth=parent.depth + 1,
                priority=parent.priority,
                inputs=child.inputs,
            )
            for child in children
        ],
    )
