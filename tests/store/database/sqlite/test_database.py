"""One server owns a file, for as long as it lives; the URL says which file; readers cannot write."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from service.core.errors import StartRefused, Unavailable
from service.store.database.opening import database_at
from service.store.database.reader import Reader
from service.store.database.required_tables import RequiredTables
from service.store.database.sqlite.checkpoints import LOG_BYTES
from service.store.database.sqlite.connections import Sqlite
from service.store.database.sqlite.file_lock import FileLock, lock_path, owner_of
from service.store.schema.migrate import migrate
from tests.support.checkout import CHECKOUT
from tests.support.store.harness import ask, opened, start


@pytest.fixture
def database(file: Sqlite) -> Sqlite:
    return file


def test_a_second_server_is_refused_and_told_who_owns_the_file(database: Sqlite) -> None:
    assert owner_of(database.file) is None
    ownership = FileLock.take(database.file, "127.0.0.1:8000")
    assert owner_of(database.file) == "127.0.0.1:8000"
    with pytest.raises(StartRefused, match=r"owned by the server at 127\.0\.0\.1:8000.*PostgreSQL"):
        FileLock.take(database.file, "127.0.0.1:8001")
    ownership.move_to("h:1")
    assert owner_of(database.file) == "h:1"
    with pytest.raises(StartRefused, match="at h:1:"):
        FileLock.take(database.file, "127.0.0.1:8001")
    ownership.release()
    assert owner_of(database.file) is None
    FileLock.take(database.file, "127.0.0.1:8001").release()


OWN = "import sys, time; from pathlib import Path; from service.store.database.sqlite.file_lock import FileLock; \
owned = FileLock.take(Path(sys.argv[1]), 'other:1'); print('owned', flush=True); time.sleep(60)"


def test_ownership_ends_with_its_process_however_that_ends(database: Sqlite) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", OWN, database.file],
        stdout=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "owned\n"
        assert owner_of(database.file) == "other:1"
        with pytest.raises(StartRefused, match="at other:1:"):
            FileLock.take(database.file, "me:1")
        process.send_signal(signal.SIGKILL)
    assert owner_of(database.file) is None
    FileLock.take(database.file, "me:1").release()


def test_ownership_needs_a_place_for_its_lock(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartRefused, match="cannot open"):
        FileLock.take(tmp_path / "file" / "x.db", "me:1")
    database = Sqlite(tmp_path / "new" / "folder" / "x.db")
    ownership = FileLock.take(database.file, "me:1")
    assert lock_path(database.file).parent == database.file.parent
    ownership.release()


@pytest.mark.parametrize("url", ["sqlite+aiosqlite:///x.db", "sqlite:///./x.db", "sqlite+pysqlite:///x.db?timeout=5"])
def test_a_url_names_a_file(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Path(database_at(url).name) == tmp_path / "x.db"
    assert Path(database_at(f"sqlite+aiosqlite:///{tmp_path}/y.db").name) == tmp_path / "y.db"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        *((url, "in-memory") for url in ("sqlite://", "sqlite:///:memory:", "sqlite+aiosqlite:///file::memory:")),
        ("postgresql://localhost/x?nonsense=1", "libpq"),
        ("postgresql+asyncpg://localhost/x", "no database of the kind"),
        ("mysql://localhost/x", "no database of the kind"),
        *((url, "no database URL") for url in ("", "x.db", "/tmp/x.db", "sqlite:/x:y")),
    ],
)
def test_a_url_of_nothing_that_we_can_use_is_refused(url: str, why: str) -> None:
    with pytest.raises(StartRefused, match=why):
        database_at(url)


async def test_reader_and_writer_use_the_same_file_in_a_folder_of_any_name(tmp_path: Path) -> None:
    database = Sqlite(tmp_path / "what? 100% #1 é" / "rungraph.db")
    migrate(database)

    async with opened(database) as store:
        await start(store, "r")
        assert (await store.runs.get("r")).run_id == "r"
    assert sorted(os.listdir(tmp_path)) == ["what? 100% #1 é"]


def test_the_writer_makes_what_it_commits_durable(database: Sqlite) -> None:
    connection = database.connect_writer()
    settings = ("journal_mode", "synchronous", "foreign_keys")
    assert [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in settings] == ["wal", 2, 1]
    connection.close()


ADD = "INSERT INTO graphs (id, name, start_node, definition, created_at) VALUES (?, '', '', '{}', '')"


def test_the_log_has_its_length_from_the_start(database: Sqlite) -> None:
    def sizes() -> tuple[int, int]:
        return database.file.stat().st_size, Path(f"{database.file}-wal").stat().st_size

    before = database.file.stat().st_size
    connection = database.connect_writer()
    cache_size = connection.execute("PRAGMA cache_size").fetchone()
    with closing(sqlite3.connect(database.file)) as other:
        assert cache_size == other.execute("PRAGMA cache_size").fetchone()
    length = sizes()
    assert length[0] == before
    assert length[1] > LOG_BYTES
    for number in range(150):  # Each writes a page of the table and of four indexes.
        connection.execute(ADD, [number])
    assert sizes()[1] == length[1]
    database.connect_writer().close()
    assert sizes()[1] == length[1]
    connection.close()


def test_a_disk_without_room_for_the_log_does_without(database: Sqlite, caplog: pytest.LogCaptureFixture) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LOG_BYTES // 2, limits[1]))
    try:
        connection = database.connect_writer()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with closing(connection):
        assert not connection.in_transaction
        connection.execute(ADD, ["g"])
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_a_reader_can_not_write(database: Sqlite) -> None:
    reader = Reader(database, RequiredTables(database, ()))
    with pytest.raises(Unavailable, match="readonly"):
        async with reader.snapshot() as snapshot:
            await snapshot.one(text("DELETE FROM graphs"))
    await reader.close()


async def test_a_snapshot_does_not_see_what_is_committed_after_it_began(database: Sqlite) -> None:
    count = text("SELECT count(*) FROM runs")
    async with opened(database) as store, store._reader.snapshot() as snapshot:
        before: Any = await snapshot.one(count)
        await start(store, "r")
        assert await snapshot.one(count) == before == (0,)


async def test_a_database_that_cannot_be_read_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "rungraph.db").write_bytes(b"no database" * 1000)

    reader = Reader(Sqlite(tmp_path / "rungraph.db"), RequiredTables(Sqlite(tmp_path / "rungraph.db"), ()))
    with pytest.raises(Unavailable, match="cannot be read"):
        async with reader.snapshot() as snapshot:
            await snapshot.one(text("SELECT * FROM runs"))
    await reader.close()


async def test_when_the_store_has_closed_everything_is_in_the_file_itself(database: Sqlite) -> None:
    async with opened(database) as store:
        await start(store, "r")
        await store.runs.get("r")
    assert not database.file.with_name("rungraph.db-wal").exists()
    assert ask(database, "SELECT id FROM runs") == [("r",)]


def test_a_foreign_key_holds(database: Sqlite) -> None:
    connection = database.connect_writer()
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        connection.execute(
            "INSERT INTO log_lines (run_id, seq, ts, level, event, message, data)"
            " VALUES ('nope', 1, '', 'info', 'log', '', '{}')"
        )
    connection.close()
