"""Insert committed steps: those that a runner commits, and patches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from service.core.state import Changes
from service.store.database.transaction import Row, Transaction
from service.store.rows.changes import insert_changes, rows_of_changes
from service.store.schema.models import snapshots


class NewStep(NamedTuple):
    """A step to be inserted; the columns of `snapshots` tell what each value means."""

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
    changes: Changes


def insert_steps(transaction: Transaction, steps: Sequence[NewStep]) -> None:
    """Insert `steps` and what they changed of their runs' states."""
    changed: list[Row] = []
    for step in steps:
        changed += rows_of_changes(transaction, step.run_id, step.step, step.changes)
    insert_changes(transaction, changed)
    transaction.insert(snapshots, [step._asdict() for step in steps])
