"""A log that a reader has let grow becomes short again: by the next write or, without one, by the server itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from service.store.database.sqlite import checkpoints
from service.store.database.sqlite.checkpoints import LOG_BYTES, LOG_BYTES_MAX
from service.store.database.sqlite.connections import Sqlite

SHORTENING = ("PRAGMA wal_checkpoint(TRUNCATE)", f"CREATE TABLE longer AS SELECT zeroblob({LOG_BYTES})")


@pytest.fixture
def writer(file: Sqlite, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    monkeypatch.setattr(checkpoints, "RETRY_S", 0.0)
    with closing(file.connect_writer()) as connection:
        connection.execute("CREATE TABLE t (value BLOB)")
        yield connection


def length(file: Sqlite) -> int:
    return Path(f"{file.file}-wal").stat().st_size


def write(file: Sqlite, writer: sqlite3.Connection, count: int) -> None:
    for _ in range(count):
        file.begin(writer)
        file.commit(writer, writer.cursor(), [("INSERT INTO t VALUES (zeroblob(?))", (LOG_BYTES // 10,))])
        file._watch.verify()
        file.keep(writer)


def let_grow(file: Sqlite, writer: sqlite3.Connection) -> None:
    """Write while somebody reads the log from its beginning, so that it can neither be copied nor restart."""
    with closing(sqlite3.connect(file.file)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM t").fetchone()
        write(file, writer, 15)
    assert length(file) > LOG_BYTES_MAX


def test_a_log_that_is_written_restarts_and_costs_no_more_than_a_short_one(
    file: Sqlite, writer: sqlite3.Connection
) -> None:
    let_grow(file, writer)
    executed: list[str] = []
    writer.set_trace_callback(executed.append)
    write(file, writer, 3)
    assert LOG_BYTES < length(file) <= LOG_BYTES_MAX
    assert "PRAGMA wal_checkpoint(PASSIVE)" in executed
    assert not set(SHORTENING) & set(executed)


def test_a_log_that_nobody_writes_any_more_is_shortened(file: Sqlite, writer: sqlite3.Connection) -> None:
    let_grow(file, writer)
    executed: list[str] = []
    writer.set_trace_callback(executed.append)
    tries = 1
    while file.keep(writer) is not None:
        tries += 1
        assert tries < 10
    assert set(SHORTENING) <= set(executed)
    assert LOG_BYTES < length(file) <= LOG_BYTES_MAX
