"""Rows of changes: one for each top-level key that a step changed, and for no other (law 10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.core.state import Changes
from service.store.database.transaction import Row, Transaction
from service.store.rows.states import slot_of
from service.store.schema.models import changes

TOGETHER_LENGTH_MAX = 16 * 1024
"""Characters of a value that is inserted together with others."""


def rows_of_changes(transaction: Transaction, run_id: str, step: int, changed: Changes) -> list[dict[str, Any]]:
    """Return a row for each key that `changed` sets or removes."""

    def row(key: str, value: str | None, position: int) -> dict[str, Any]:
        slot = slot_of(key, transaction.dialect)
        beside = {"value": value, "position": position, "long_key": None if slot == key else key}
        return {"run_id": run_id, "key": slot, "step": step, **beside}

    rows = [row(key, entry.text, entry.position) for key, entry in changed.set.items()]
    return rows + [row(key, None, 0) for key in changed.unset]


def insert_changes(transaction: Transaction, rows: Sequence[Row]) -> None:
    """Insert rows of `rows_of_changes`. Large values go one by one: a prepared statement keeps its last parameters."""
    small: list[Row] = []
    large: list[Row] = []
    for row in rows:
        (small if row["value"] is None or len(row["value"]) <= TOGETHER_LENGTH_MAX else large).append(row)
    transaction.insert(changes, small)
    for row in large:
        transaction.insert(changes, [row])
