"""The files under a server stay what they are, or nothing is acknowledged any more."""

from __future__ import annotations

import asyncio
import ctypes
import ctypes.util
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from service.core.errors import Unavailable
from service.store import Store
from service.store.database.sqlite import content_mark, file_watch
from service.store.database.sqlite.connections import Sqlite
from tests.support.store.harness import COUNTER, ask, opened, start, start_of, until

LOG, INDEX = "-wal", "-shm"


@pytest.fixture(autouse=True)
def _each_commit_is_looked_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_watch, "FRESH_S", -1.0)
    monkeypatch.setattr(content_mark, "CHANGE_S", 0.0)


@pytest.fixture
def database(file: Sqlite) -> Sqlite:
    return file


def beside(file: Path, suffix: str) -> Path:
    return file.with_name(file.name + suffix)


def elsewhere(file: Path) -> Path:
    return file.with_name("elsewhere")


def remove_all(file: Path) -> None:
    for suffix in ("", LOG, INDEX):
        beside(file, suffix).unlink()


def replace(path: Path) -> None:
    """By a copy, which is the same to the last byte."""
    shutil.copy(path, elsewhere(path))
    elsewhere(path).rename(path)


def overwrite(file: Path) -> None:
    """By another database, as `cp` does it: within the same file."""
    with closing(sqlite3.connect(elsewhere(file))) as other:
        other.execute("CREATE TABLE other (value)")
    file.write_bytes(elsewhere(file).read_bytes())


def restore(file: Path) -> None:
    """By another database, as `.restore` of the `sqlite3` program does it: in a transaction of SQLite's."""
    with closing(sqlite3.connect(elsewhere(file))) as other, closing(sqlite3.connect(file)) as restored:
        other.execute("CREATE TABLE other (value)")
        other.backup(restored)


def back_up(file: Path) -> None:
    with closing(sqlite3.connect(file)) as original, closing(sqlite3.connect(beside(file, "-copy"))) as copy:
        original.backup(copy)


def restore_copy(file: Path) -> None:
    """By a copy of the same database that was made before the last commit."""
    with closing(sqlite3.connect(beside(file, "-copy"))) as copy, closing(sqlite3.connect(file)) as restored:
        copy.backup(restored)


def put_link_in_place(file: Path) -> None:
    """By a link to it, upon which a restart looks for the log beside the file that the link leads to."""
    file.rename(elsewhere(file))
    file.symlink_to(elsewhere(file))


def replace_folder(file: Path) -> None:
    file.parent.rename(elsewhere(file.parent))
    file.parent.mkdir()


LOSSES: dict[str, Callable[[Path], object]] = {
    "all removed": remove_all,
    "file removed": lambda file: file.unlink(),
    "file moved": lambda file: file.rename(elsewhere(file)),
    "file replaced": replace,
    "file replaced by a link to it": put_link_in_place,
    "file cut": lambda file: os.truncate(file, 0),
    "file cut in part": lambda file: os.truncate(file, 8192),
    "file overwritten": overwrite,
    "file restored": restore,
    "file restored from a copy": restore_copy,
    "log removed": lambda file: beside(file, LOG).unlink(),
    "log moved": lambda file: beside(file, LOG).rename(elsewhere(file)),
    "log replaced": lambda file: replace(beside(file, LOG)),
    "log cut": lambda file: os.truncate(beside(file, LOG), 0),
    "log cut in part": lambda file: os.truncate(beside(file, LOG), 10_000),
    "index removed": lambda file: beside(file, INDEX).unlink(),
    "folder moved": lambda file: file.parent.rename(elsewhere(file.parent)),
    "folder removed": lambda file: shutil.rmtree(file.parent),
    "folder replaced": replace_folder,
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("is_inline", [False, True], ids=["thread", "inline"])
async def test_nothing_is_acknowledged_once_a_file_is_lost(
    loss: str, is_inline: bool, tmp_path: Path, migrated: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "data").mkdir()
    database = Sqlite(Path(shutil.copy(migrated, tmp_path / "data" / "rungraph.db")))

    async def lose(store: Store) -> None:
        back_up(database.file)
        await start(store, "before")
        LOSSES[loss](database.file)
        # Of a batch as well as alone.
        starts = (store.runs.start(start_of(name), within_s=20) for name in ("one", "two"))
        refused = await asyncio.gather(*starts, return_exceptions=True)
        with pytest.raises(Unavailable, match="while this server had it open"):
            await store.runs.start(start_of("three"), within_s=20)
        with pytest.raises(Unavailable, match="while this server had it open"):
            await store.servers.probe(within_s=20)
        with pytest.raises(Unavailable, match="cannot be read"):
            await store.runs.get("before")
        assert [type(each) for each in refused] == [Unavailable, Unavailable]

    async with opened(database) as store:
        if is_inline:
            with store.committing_inline():
                await lose(store)
        else:
            await lose(store)
    [critical] = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert "start it again" in critical.message


@pytest.mark.parametrize("loss", ["log removed", "log moved", "index removed", "file moved"])
async def test_what_was_acknowledged_is_in_the_file_that_is_left(loss: str, database: Sqlite) -> None:
    async with opened(database) as store:
        for number in range(20):
            await start(store, f"r{number}")
        LOSSES[loss](database.file)
        with pytest.raises(Unavailable):
            await store.runs.start(start_of("late"), within_s=20)
        # Nothing more may be needed: whoever watches may kill the process now.
        for suffix in (LOG, INDEX):
            beside(database.file, suffix).unlink(missing_ok=True)
        file = elsewhere(database.file) if loss == "file moved" else database.file
        with closing(sqlite3.connect(file)) as connection:
            assert connection.execute("SELECT count(*) FROM runs WHERE id LIKE 'r%'").fetchone() == (20,)
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


WRITE = """import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("CREATE TABLE other (value)")
print(flush=True)
input()
other.execute("INSERT INTO other VALUES (1)")
other.close()
"""


def begun_elsewhere(file: Path) -> subprocess.Popen[bytes]:
    """A process that has written to the database, and goes on once it is told."""
    other = subprocess.Popen([sys.executable, "-c", WRITE, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()
    return other


async def test_a_log_that_somebody_has_begun_anew_is_left_alone(database: Sqlite) -> None:
    """Another program's rows are in it; ours come from a log that nobody has any more."""

    async with opened(database) as store:
        await start(store, "r")
        for suffix in (LOG, INDEX):
            beside(database.file, suffix).unlink()
        other = begun_elsewhere(database.file)
        with pytest.raises(Unavailable):
            await store.runs.start(start_of("late"), within_s=20)
    # The store has closed without taking the other's log away.
    assert beside(database.file, LOG).stat().st_size
    other.communicate(b"go on\n")
    assert other.returncode == 0
    assert ask(database, "SELECT value FROM other") == [(1,)]


async def test_a_store_that_has_lost_its_file_takes_nothing_from_the_one_in_its_place(
    database: Sqlite, migrated: Path
) -> None:
    async with opened(database) as store:
        await start(store, "ours")
        remove_all(database.file)
        successor = Sqlite(Path(shutil.copy(migrated, database.file)))
        async with opened(successor) as next_store:
            await start(next_store, "theirs")
            await store.close()
            assert beside(database.file, LOG).exists()
            await start(next_store, "theirs too")
    assert ask(database, "SELECT id FROM runs ORDER BY id") == [("theirs",), ("theirs too",)]


READ = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM runs').fetchone()[0])"


def read_elsewhere(file: Path) -> int:
    """The number of runs that another process finds, which closes the database again."""
    found = subprocess.run([sys.executable, "-c", READ, file], capture_output=True, text=True, check=True)
    return int(found.stdout)


def read_by_another_library(file: Path) -> None:
    """Within this process, as DuckDB and others do that have an SQLite of their own."""
    name = ctypes.util.find_library("sqlite3")
    if name is None:
        pytest.skip("there is no library of SQLite's to load twice")
    found = next((line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if name in line), name)
    library = file.with_name("another.so")
    if not library.exists():  # One that is loaded is not to be written again.
        shutil.copy(found, library)
    try:
        copy = ctypes.CDLL(str(library))
    except OSError:
        pytest.skip("the library of SQLite's cannot be loaded twice")
    handle = ctypes.c_void_p()
    assert copy.sqlite3_open(os.fsencode(file), ctypes.byref(handle)) == 0
    assert copy.sqlite3_exec(handle, b"SELECT count(*) FROM runs", None, None, None) == 0
    assert copy.sqlite3_close(handle) == 0


def copy_database(file: Path) -> None:
    shutil.copy(file, elsewhere(file))


def copy_all(file: Path) -> None:
    for suffix in ("", LOG, INDEX):
        shutil.copy(beside(file, suffix), elsewhere(file))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has locks that a close does not drop")
@pytest.mark.parametrize("touch", [copy_database, copy_all, read_by_another_library], ids=lambda touch: touch.__name__)
async def test_a_tool_that_opens_the_files_does_not_let_others_remove_the_log(
    touch: Callable[[Path], None], database: Sqlite, tmp_path: Path
) -> None:
    async with opened(database) as store:
        await start(store, "r1")
        log = beside(database.file, LOG).stat().st_ino
        for number in (2, 3):
            touch(database.file)
            assert read_elsewhere(database.file) == number - 1
            assert beside(database.file, LOG).stat().st_ino == log
            await start(store, f"r{number}")
            assert (await store.runs.get(f"r{number}")).run_id == f"r{number}"
        # What a process that is killed now leaves behind.
        (tmp_path / "left").mkdir()
        for suffix in ("", LOG):
            shutil.copy(beside(database.file, suffix), tmp_path / "left")
        assert read_elsewhere(tmp_path / "left" / "rungraph.db") == 3
    assert not beside(database.file, LOG).exists()
    assert ask(database, "SELECT count(*) FROM runs") == [(3,)]


def checkpoint(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def grow(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE big AS SELECT zeroblob(9000000) AS value")


def shrink(connection: sqlite3.Connection) -> None:
    grow(connection)
    checkpoint(connection)
    connection.execute("DROP TABLE big")
    connection.execute("VACUUM")
    checkpoint(connection)


@pytest.mark.parametrize("use", [checkpoint, grow, shrink], ids=lambda use: use.__name__)
async def test_what_other_programs_do_by_sqlite_is_no_loss(
    use: Callable[[sqlite3.Connection], None], database: Sqlite
) -> None:
    async with opened(database) as store:
        with closing(sqlite3.connect(database.file, isolation_level=None)) as other:
            for number in range(5):
                await start(store, f"r{number}")
                use(other)
                other.execute("DROP TABLE IF EXISTS big")
                database.file.touch()
                assert (await store.runs.get(f"r{number}")).run_id == f"r{number}"
        await start(store, "last")
    assert ask(database, "SELECT count(*) FROM runs") == [(6,)]
    assert ask(database, "PRAGMA integrity_check") == [("ok",)]


async def test_a_log_shrinks_once_a_long_reader_has_ended(database: Sqlite) -> None:
    log = beside(database.file, LOG)

    async with opened(database) as store:
        length = log.stat().st_size
        with closing(sqlite3.connect(database.file, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM runs").fetchone()
            for number in range(20):
                state = {"text": f"{number}" * 1_000_000}
                await store.graphs.add(COUNTER)
                await store.runs.start(start_of(f"r{number}", state=state))
            assert log.stat().st_size > 3 * length
        # Nobody writes any more.
        await asyncio.to_thread(until, lambda: 0.9 * length < log.stat().st_size < 1.3 * length)
        await start(store, "after")
    assert ask(database, "SELECT count(*) FROM runs") == [(21,)]
