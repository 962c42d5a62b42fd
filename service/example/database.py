"""DuckDB for one step: a connection that sees the run's folder and nothing else, and SQL's quoting.

The columns' names and values are the user's own, and the state is whatever a client posted: no text of theirs
becomes SQL but through `quote` and `literal`, and the connection could open no other file if it did.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from service.example.columns import LOOKS
from service.example.files import inside, replacing

Connection = duckdb.DuckDBPyConnection

ROW = "_row"
"""The column that keeps the rows' order in the tables between steps; it is not part of the user's table."""

MEMORY_LIMIT = "512MB"
THREADS = 2


@contextmanager
def database(folder: Path, *readable: Path) -> Iterator[Connection]:
    """An empty database that may touch `folder` and the `readable` files; it spills into `folder`."""
    spill = Path(tempfile.mkdtemp(prefix=".spill-", dir=folder))
    try:
        with duckdb.connect(":memory:", config={"threads": THREADS, "memory_limit": MEMORY_LIMIT}) as db:
            for setting in (
                f"temp_directory = {literal(str(spill))}",
                "TimeZone = 'UTC'",
                "autoinstall_known_extensions = false",
                "autoload_known_extensions = false",
                f"allowed_directories = [{literal(str(folder))}]",
                f"allowed_paths = [{', '.join(literal(str(path)) for path in readable)}]",
                "enable_external_access = false",
                "lock_configuration = true",
            ):
                db.execute(f"SET {setting}")
            yield db
    finally:
        shutil.rmtree(spill, ignore_errors=True)


@contextmanager
def opened(folder: Path, table: str) -> Iterator[Connection]:
    """A database where the view `input` shows a table file's rows, and `looks_TYPE` tells what a text is."""
    with database(folder) as db:
        for kind, look in LOOKS.items():
            db.execute(f"CREATE MACRO looks_{kind}(bare) AS {look}")
        db.execute(f"CREATE VIEW input AS FROM read_parquet({literal(str(inside(folder, table)))})")
        yield db


def write(db: Connection, query: str, path: Path, options: str = "FORMAT parquet") -> None:
    """Write a query's rows to a file, whole or not at all."""
    with replacing(path) as draft:
        db.execute(f"COPY ({query}) TO {literal(str(draft))} ({options})")


def single(db: Connection, query: str) -> tuple[Any, ...]:
    """The one row of a query that has exactly one, as every aggregate without GROUP BY does."""
    row: tuple[Any, ...] | None = db.execute(query).fetchone()
    if row is None:
        raise LookupError(f"no row: {query}")
    return row


def quote(name: str) -> str:
    """`name` as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """`value` as a literal of SQL; TypeError for anything but None, a boolean, a number or a string."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case int() | float():
            return repr(value)
        case str():
            return "'" + value.replace("'", "''") + "'"
        case _:
            raise TypeError(f"no SQL literal: {value!r}")


def literals(values: list[object]) -> str:
    """`values` as the inside of an IN list."""
    return ", ".join(literal(value) for value in values)
