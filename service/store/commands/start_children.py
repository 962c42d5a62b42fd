"""Start the children of a graph node, within the commit of its run."""

from __future__ import annotations

from collections.abc import Sequence

from service.core.join import child_id
from service.core.run import Child, Run
from service.store.database.transaction import Transaction
from service.store.rows.runs import ChildPlace, NewRun, insert_runs, start_nodes


def start_children(transaction: Transaction, parent: Run, children: Sequence[Child]) -> None:
    """Queue `children`, which the next step of `parent` starts, except those that exist already."""
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
                trace=parent.trace,
            )
            for child in children
        ],
    )
