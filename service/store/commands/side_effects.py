"""What a commit does beside moving its run and writing its step: to its wait, its mailbox, its visits, its children."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, update

from service.core.run import Transition, WaitKind
from service.store.commands.children import start_children
from service.store.commands.control import cancel_children
from service.store.database.statements import Statement
from service.store.database.transaction import Transaction
from service.store.rows.visits import count_visit
from service.store.rows.waits import forget, park, wake_those_ready
from service.store.schema.models import signals

_CONSUME = Statement(
    update(signals)
    .where(signals.c.run_id == bindparam("run_id"), signals.c.number == bindparam("number"))
    .values(step=bindparam("by_step"))
)


def take_effect(transaction: Transaction, transitions: Sequence[Transition]) -> None:
    """To be called once the runs' rows are moved, and locked by that."""
    if not transitions:
        return
    forget(transaction, [transition.run.id for transition in transitions if transition.ends_wait])
    for transition in transitions:
        run = transition.run
        if transition.consumes is not None:
            transaction.execute(_CONSUME, run_id=run.id, number=transition.consumes, by_step=run.step)
        node = None if transition.step is None else transition.step.node
        if node is not None and node in run.visits:
            count_visit(transaction, run, node)
        if transition.starts:
            start_children(transaction, run, transition.starts)
    parked = [(transition.run.id, transition.wait) for transition in transitions if transition.wait is not None]
    park(transaction, parked)
    # After those that wait: one of them may be such a child.
    cancel_children(transaction, [transition.run.id for transition in transitions if transition.cancels_children])
    # Last: whether a wait for children is over at once shows only now.
    asking = [run_id for run_id, wait in parked if wait.kind in (WaitKind.SIGNAL, WaitKind.CHILDREN)]
    wake_those_ready(transaction, asking)
