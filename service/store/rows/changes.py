"""Rows of changes: one for each top-level key that a step changed, and none for the other keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Table, select

from service.core.state import Changes
from service.store.database.statements import ForRows
from service.store.database.transaction import Row, Transaction
from service.store.rows.states import slot_of
from service.store.schema.models import changes, shared_values

TOGETHER_LENGTH_MAX = 16 * 1024
"""Characters of a value that is inserted together with others."""
_NONE: Mapping[str, str] = {}

_KNOWN = ForRows(
    lambda row: select(shared_values.c.run_id, shared_values.c.digest).where(
        shared_values.c.run_id == row.run_id, shared_values.c.digest == row.digest
    ),
    run_id=shared_values.c.run_id,
    digest=shared_values.c.digest,
)


def rows_of_changes(
    transaction: Transaction, run_id: str, step: int, changed: Changes, shared: Mapping[str, str] = _NONE
) -> list[dict[str, Any]]:
    """Return a row for each key that `changed` sets or removes.

    The values of the keys in `shared` are left to `shared_values`, under the digests that it maps them to.
    """

    def row(key: str, value: str | None, position: int) -> dict[str, Any]:
        slot = slot_of(key, transaction.dialect)
        digest = shared.get(key)
        return {
            "run_id": run_id,
            "key": slot,
            "step": step,
            "value": value if digest is None else None,
            "position": position,
            "long_key": None if slot == key else key,
            "shared_digest": digest,
        }

    rows = [row(key, entry.text, entry.position) for key, entry in changed.set.items()]
    return rows + [row(key, None, 0) for key in changed.unset]


def insert_changes(transaction: Transaction, rows: Sequence[Row]) -> None:
    """Insert rows of `rows_of_changes`."""
    _insert_by_size(transaction, changes, rows)


def insert_shared_values(transaction: Transaction, values: Mapping[tuple[str, str], str]) -> None:
    """Insert `values`, by parent and digest, except those that exist.

    Only the commit of a parent writes its shared values, and it has locked the parent's row.
    """
    asked = [{"run_id": run_id, "digest": digest} for run_id, digest in values]
    known = {(run_id, digest) for run_id, digest in transaction.each(_KNOWN, asked)}
    new = [row | {"value": values[place]} for row in asked if (place := (row["run_id"], row["digest"])) not in known]
    _insert_by_size(transaction, shared_values, new)


def _insert_by_size(transaction: Transaction, into: Table, rows: Sequence[Row]) -> None:
    """Insert small values together and large ones one by one: a prepared statement keeps its last parameters."""
    small: list[Row] = []
    large: list[Row] = []
    for row in rows:
        (small if row["value"] is None or len(row["value"]) <= TOGETHER_LENGTH_MAX else large).append(row)
    transaction.insert(into, small)
    for row in large:
        transaction.insert(into, [row])
