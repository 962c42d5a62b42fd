"""Side effects of a commit: what it changes besides the run's row and its step (wait, mailbox, visits, children)."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, update

from service.core.run import Run, Transition, WaitKind
from service.store.commands.control import cancel_children
from service.store.commands.start_children import start_children
from service.store.database.statements import Statement
from service.store.database.transaction import Transaction
from service.store.rows.park_and_wake import delete_waits, park, wake_those_ready
from service.store.rows.visits import count_visit
from service.store.schema.models import signals

_CONSUME = Statement(
    update(signals)
    .where(signals.c.run_id == bindparam("run_id"), signals.c.number == bindparam("number"))
    .values(step=bindparam("by_step"))
)


def apply_side_effects(transaction: Transaction, transitions: Sequence[Transition]) -> None:
    """Apply the side effects of `transitions`. The caller has updated the runs' rows, which are therefore locked."""
    if not transitions:
        return
    delete_waits(transaction, [transition.run.id for transition in transitions if transition.ends_wait])
    visited: dict[tuple[str, str], Run] = {}
    for transition in transitions:
        run = transition.run
        if transition.consumes is not None:
            transaction.execute(_CONSUME, run_id=run.id, number=transition.consumes, by_step=run.step)
        node = None if transition.step is None else transition.step.node
        if node is not None and node in run.visits:
            visited[run.id, node] = run  # A run may have several steps here. The last one has the final count.
        if transition.starts:
            start_children(transaction, run, transition.starts)
    for (_, node), run in visited.items():
        count_visit(transaction, run, node)
    parked = [(transition.run, transition.wait) for transition in transitions if transition.wait is not None]
    park(transaction, parked)
    # After `park`, because a run that parks may be one of the children, and cancelling it deletes its wait.
    cancel_children(transaction, [transition.run.id for transition in transitions if transition.cancels_children])
    # Last, because only after all of the above is it known whether a wait is over at once.
    asking = [run.id for run, wait in parked if wait.kind in (WaitKind.SIGNAL, WaitKind.CHILDREN)]
    wake_those_ready(transaction, asking)
