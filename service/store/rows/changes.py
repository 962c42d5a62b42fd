"""Writing down what a step changed of the state: a row for each top-level key, and for no other (law 10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.core.state import Changes
from service.store.database.transaction import Row, Transaction
from service.store.rows.states import slot_of
from service.store.schema.models import changes

TOGETHER_LENGTH_MAX = 16 * 1024
"""Characters of a value that is written together with others."""


def rows_of_changes(transaction: Transaction, run_id: str, step: int, changed: Changes) -> list[dict[str, Any]]:
    """A row for each key that `changed` sets or removes, and for no other."""

    def row(key: str, value: str | None, position: int) -> dict[str, Any]:
        slot = slot_of(key, transaction.dialect)
        beside = {"value": value, "position": position, "long_key": None if slot == key else key}
        return {"run_id": run_id, "key": slot, "step": step, **beside}

    rows = [row(key, entry.text, entry.position) for key, entry in changed.set.items()]
    return rows + [row(key, None, 0) for key in changed.unset]


def insert_changes(transaction: Transaction, rows: Sequence[Row]) -> None:
    """Write rows of `rows_of_changes`, large values one by one: a statement keeps what it was last row."""
    small: list[Row] = []
    large: list[Row] = []
    for row in rows:
        (small if row["value"] is None or len(row["value"]) <= TOGETHER_LENGTH_MAX else large).append(row)
    transaction.insert(changes, small)
    for row in large:
        transaction.insert(changes, [row])
