"""Rows that are made as tuples: their fields are the columns of their table, in the same order."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Table

from service.store.rows.changes import NewChange, NewSharedValue
from service.store.rows.log_lines import NewLine
from service.store.rows.steps import NewStep
from service.store.schema.models import changes, log_lines, shared_values, snapshots


@pytest.mark.parametrize(
    ("row", "table"),
    [(NewStep, snapshots), (NewChange, changes), (NewSharedValue, shared_values), (NewLine, log_lines)],
    ids=lambda value: value.name if isinstance(value, Table) else "",
)
def test_a_row_has_the_columns_of_its_table_in_their_order(row: Any, table: Table) -> None:
    assert list(row._fields) == table.c.keys()
