"""Insert committed steps: those that a runner commits, and patches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from service.core import codec
from service.core.routing.conditions import Decision, abridge
from service.core.state import Changes
from service.store.database.transaction import Transaction
from service.store.rows.changes import NewChange, insert_changes, rows_of_changes
from service.store.schema.models import snapshots

EVALUATED_BYTES_MAX = 1024
"""A larger operand or condition of a decision is not stored with the step. It is read back from the state or graph."""


class NewStep(NamedTuple):
    """A row of `snapshots`. The fields are in the order of its columns, which tell what each value means."""

    run_id: str
    step: int
    node: str | None
    attempt: int
    lease_token: int
    next_node: str | None
    reason: str
    evaluated: str
    is_abridged: int
    started_at: str
    finished_at: str
    duration_ms: float


def insert_steps(transaction: Transaction, steps: Sequence[tuple[NewStep, Changes]]) -> None:
    """Insert `steps`, each with what it changed of its run's state."""
    changed: list[NewChange] = []
    for row, changes in steps:
        changed += rows_of_changes(transaction, row.run_id, row.step, changes)
    insert_changes(transaction, changed)
    transaction.insert_tuples(snapshots, [row for row, _ in steps])


def evaluated_text(decision: Decision) -> tuple[str, bool]:
    """Return the decision's record as JSON, and whether something large was left out of it."""
    if _are_short(decision):
        text = codec.encode(decision.evaluated)
        if codec.byte_length(text) <= EVALUATED_BYTES_MAX:
            return text, False
    abridged, is_abridged = abridge(decision.evaluated, EVALUATED_BYTES_MAX)
    return codec.encode(abridged), is_abridged


def _are_short(decision: Decision) -> bool:
    """Return whether all operands are so small that encoding them together is worth a try."""
    for record in decision.evaluated:
        for value in record["operands"].values():
            if isinstance(value, list | dict) or (isinstance(value, str) and len(value) > EVALUATED_BYTES_MAX):
                return False
    return True
