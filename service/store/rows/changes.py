"""Rows of changes: one for each top-level key that a step changed, and none for the other keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Table, select

from service.core.state import Changes
from service.store.database.statements import ForRows
from service.store.database.transaction import Transaction
from service.store.rows.states import slot_of
from service.store.schema.models import changes, shared_values

TOGETHER_LENGTH_MAX = 16 * 1024
"""The most characters of a value that is inserted together with others."""
_NONE: Mapping[str, str] = {}

_KNOWN = ForRows(
    lambda row: select(shared_values.c.run_id, shared_values.c.digest).where(
        shared_values.c.run_id == row.run_id, shared_values.c.digest == row.digest
    ),
    run_id=shared_values.c.run_id,
    digest=shared_values.c.digest,
)


class NewChange(NamedTuple):
    """A row of `changes`. The fields are in the order of its columns."""

    run_id: str
    key: str
    step: int
    value: str | None
    position: int
    long_key: str | None
    shared_digest: str | None


class NewSharedValue(NamedTuple):
    """A row of `shared_values`. The fields are in the order of its columns."""

    run_id: str
    digest: str
    value: str


def rows_of_changes(
    transaction: Transaction, run_id: str, step: int, changed: Changes, shared: Mapping[str, str] = _NONE
) -> list[NewChange]:
    """Return a row for each key that `changed` sets or removes.

    `shared` maps keys to digests. The rows of these keys have the digest instead of the value, which is in
    `shared_values`.
    """

    rows = []
    for key, (text, position, _) in changed.set.items():
        slot, digest = slot_of(key, transaction.dialect), shared.get(key)
        value = text if digest is None else None
        rows.append(NewChange(run_id, slot, step, value, position, None if slot == key else key, digest))
    for key in changed.unset:
        slot = slot_of(key, transaction.dialect)
        rows.append(NewChange(run_id, slot, step, None, 0, None if slot == key else key, None))
    return rows


def insert_changes(transaction: Transaction, rows: Sequence[NewChange]) -> None:
    """Insert rows of `rows_of_changes`."""
    _insert_by_size(transaction, changes, rows)


def insert_shared_values(transaction: Transaction, values: Mapping[tuple[str, str], str]) -> None:
    """Insert `values`, by parent and digest, except those that exist.

    Only the commit of a parent writes its shared values, and it has locked the parent's row.
    """
    asked = [{"run_id": run_id, "digest": digest} for run_id, digest in values]
    known = {(run_id, digest) for run_id, digest in transaction.each(_KNOWN, asked)}
    new = [NewSharedValue(*place, value) for place, value in values.items() if place not in known]
    _insert_by_size(transaction, shared_values, new)


def _insert_by_size(transaction: Transaction, into: Table, rows: Sequence[NewChange | NewSharedValue]) -> None:
    """Insert small values together and large ones one by one: a prepared statement keeps its last parameters alive."""
    small: list[NewChange | NewSharedValue] = []
    large: list[NewChange | NewSharedValue] = []
    for row in rows:
        (small if row.value is None or len(row.value) <= TOGETHER_LENGTH_MAX else large).append(row)
    transaction.insert_tuples(into, small)
    for row in large:
        transaction.insert_tuples(into, [row])
