"""The views as DuckDB reads them: by its own parser, over tables that it reads from a SQLite file."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from service.store.database.protocol import Database
from service.store.database.sqlite.connections import Sqlite
from service.store.schema.models import metadata
from service.store.schema.views import VIEWS
from tests.support.store.carrying import APPROVAL, parked
from tests.support.store.harness import ask, commit, failure, opened, said, sql, start, started, success

NAMES = sorted(VIEWS["sqlite"].keys() - {"v_limits", "v_schedules"})
"""The views that say something of runs."""
LEFT_TO_SQLITE = ("v_attempts", "v_decisions", "v_runs", "v_tags")
"""Views with functions that DuckDB does not know (`julianday`, `likely`). SQLite executes them for it,
and the numbers come as texts."""
COPIED = tuple(name for name in NAMES if name not in LEFT_TO_SQLITE)
"""Views whose texts DuckDB executes itself."""


@pytest.fixture
def lived(file: Sqlite) -> Sqlite:
    async def scenario() -> None:
        async with opened(file) as store:
            claimed = await started(store)
            run = claimed.run
            for number in (1, 2, 1000):
                state = {"z": None, "é \\ \" '": [number], "n": number} if number > 1 else {"n": number}
                run = await commit(store, claimed.lease, success(run, **state), said("x"))
            await parked(store, "w", APPROVAL)
            failing = await started(store, "f")
            await commit(store, failing.lease, failure(failing.run))
            await start(store, "q")

    asyncio.run(scenario())
    return file


@pytest.fixture
def copied(lived: Sqlite) -> Iterator[duckdb.DuckDBPyConnection]:
    """Tables like those of the file in a DuckDB, and the views made by their texts."""
    with duckdb.connect() as connection:
        for table in metadata.sorted_tables:
            columns = ", ".join(
                f'"{column.name}" {"VARCHAR" if "TEXT" in str(column.type) else str(column.type)}' for column in table.c
            )
            connection.execute(f'CREATE TABLE "{table.name}" ({columns.replace("INTEGER", "BIGINT")})')
            if rows := ask(lived, f"SELECT {', '.join(table.c.keys())} FROM {table.name}"):
                marks = ", ".join("?" * len(table.c))
                connection.executemany(f'INSERT INTO "{table.name}" VALUES ({marks})', rows)
        for name in COPIED:
            connection.execute(f"CREATE VIEW {name} AS {VIEWS['sqlite'][name]}")
        yield connection


def asked(name: str) -> list[str]:
    return [
        f"SELECT * FROM {name} ORDER BY ALL",
        f"SELECT count(*) FROM {name}",
        f"SELECT run_id, count(*) FROM {name} GROUP BY run_id ORDER BY run_id",
        f"SELECT one.* FROM {name} AS one JOIN v_steps AS other USING (run_id) ORDER BY ALL",
        f"SELECT * FROM {name} ORDER BY run_id DESC, 2 DESC, 3 DESC LIMIT 2 OFFSET 1",
        f"SELECT count(*) FROM {name} WHERE run_id = 'r'",
        f"SELECT CASE WHEN EXISTS (SELECT 1 FROM {name}) THEN 1 ELSE 0 END",
    ]


def in_sqlite(query: str, database: Database, columns: int) -> list[Any]:
    return ask(database, query.replace("ORDER BY ALL", f"ORDER BY {', '.join(map(str, range(1, columns + 1)))}"))


@pytest.mark.parametrize("name", COPIED)
def test_a_view_says_the_same_where_duckdb_executes_its_text(
    copied: duckdb.DuckDBPyConnection, lived: Sqlite, name: str
) -> None:
    for query in asked(name):
        found = copied.execute(query.replace("ORDER BY ALL", "ORDER BY ALL NULLS FIRST")).fetchall()
        assert found == in_sqlite(query, lived, len(copied.description or ())), query


@pytest.mark.parametrize("dialect", VIEWS)
@pytest.mark.parametrize("name", NAMES)
def test_no_view_uses_a_reserved_word_for_a_name(dialect: str, name: str) -> None:
    text = re.sub(r"'[^']*'", "''", VIEWS[dialect][name])
    reserved = {
        str(word).lower()
        for (word,) in duckdb.execute(
            "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category IN ('reserved', 'type_function')"
        ).fetchall()
    } | {"at"}  # Newer versions of DuckDB than this one may reserve what it did.
    names = {match.lower() for match in re.findall(r"(?:\bAS |\bFROM \w+ |\bJOIN \w+ |\) AS )([a-z_]+)\b", text)}
    names |= {match.lower() for match in re.findall(r"\b([a-z_]+)\.", text)}
    names |= {match.lower() for match in re.findall(r"\.([a-z_]+)\b", text)}
    assert names & reserved == set()


def test_every_view_of_sqlite_parses_in_duckdb() -> None:
    for name in NAMES:
        assert len(duckdb.extract_statements(f"CREATE VIEW {name} AS {VIEWS['sqlite'][name]}")) == 1


@pytest.fixture
def attached(lived: Sqlite) -> Iterator[duckdb.DuckDBPyConnection]:
    """The file as DuckDB's own extension reads it."""
    with duckdb.connect(
        config={"allow_unsigned_extensions": "true", "autoinstall_known_extensions": "false"}
    ) as connection:
        try:
            connection.execute(f"LOAD '{_extension()}'")
        except duckdb.Error as error:
            pytest.skip(f"DuckDB's extension for SQLite is not installed: {error}")
        connection.execute(f"ATTACH '{lived.file}' AS rungraph (TYPE sqlite, READ_ONLY)")
        connection.execute("USE rungraph")
        yield connection


def _extension() -> str | Path:
    """Where the package `duckdb-extension-sqlite-scanner` has it, or the name under which `INSTALL` has put it."""
    try:
        import duckdb_extension_sqlite_scanner as package  # type: ignore[import-not-found]  # seldom there
    except ImportError:
        return "sqlite_scanner"
    folder = Path(str(package.__file__)).parent / "extensions" / f"v{duckdb.__version__}"
    return folder / "sqlite_scanner.duckdb_extension"


@pytest.mark.parametrize("name", NAMES)
def test_a_view_of_an_attached_file_says_the_same(
    attached: duckdb.DuckDBPyConnection, lived: Sqlite, name: str
) -> None:
    with sql(lived) as session:
        session.execute("UPDATE runs SET finished_at = NULL, started_at = NULL WHERE status = 'waiting'")
    for query in asked(name):
        found = attached.execute(query.replace("ORDER BY ALL", "ORDER BY ALL NULLS FIRST")).fetchall()
        expected = in_sqlite(query, lived, len(attached.description or ()))
        names = [column[0] for column in attached.description or ()]
        if "still_s" in names:  # The time goes on from the one answer to the other.
            found, expected = [[row[: names.index("still_s")] for row in rows] for rows in (found, expected)]
        if name in LEFT_TO_SQLITE:
            found, expected = [[tuple(map(str, row)) for row in rows] for rows in (found, expected)]
        assert found == expected, query
