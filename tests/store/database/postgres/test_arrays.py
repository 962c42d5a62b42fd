"""Arrays as PostgreSQL's text: whatever a column holds comes back from it as it went in."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.store.database.postgres.connections import Postgres
from service.store.database.statements import array_of
from tests.support.core.strategies import texts
from tests.support.profile import repeat

awkward = st.sampled_from(["", "NULL", "null", '"', "\\", '\\"', "{", "}", ",", " ", "\n", "'", '{"a":"\\\\"}', "é😀"])
columns: dict[str, st.SearchStrategy[Any]] = {
    "text": texts | awkward,
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "timestamptz": st.datetimes(timezones=st.just(UTC)),
    "double precision": st.floats(allow_nan=False, allow_infinity=False),
}


@pytest.fixture
def connection(server_database: Postgres) -> Any:
    with psycopg.connect(server_database.conninfo) as connection:
        yield connection


@pytest.mark.parametrize("kind", columns)
@given(data=st.data())
@settings(
    max_examples=repeat(20, 600), suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
def test_an_array_is_read_as_it_was_written(connection: Any, kind: str, data: st.DataObject) -> None:
    of = columns[kind]
    values = data.draw(st.lists(of) | st.lists(of | st.none()))
    rows = connection.execute(f"SELECT unnest(%s::{kind}[])", [array_of(values)]).fetchall()
    assert [value for (value,) in rows] == values


def test_a_text_that_would_become_two_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        array_of(["a", "b\0c"])
