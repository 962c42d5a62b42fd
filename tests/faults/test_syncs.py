"""A sync that fails ends the process, and nothing acknowledged is lost, with or without a power loss after it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from service.store.database.sqlite.connections import Sqlite
from service.store.schema.migrate import migrate
from tests.support.checkout import CHECKOUT
from tests.support.faults.disk import Disk, library
from tests.support.system.preloaded import Fork
from tests.support.system.process import Server, running

PAGES = 1_000
"""In a log that is checkpointed."""
ROWS = PAGES // 8
"""At least so many pages of the log are written by that many rows."""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    database = Sqlite(tmp_path / "data" / "rungraph.db")
    migrate(database)
    return database.file


@pytest.fixture
def disk(database: Path, tmp_path: Path) -> Disk:
    return Disk(library(), tmp_path / "disk", str(database))


class Writing:
    """A process that writes, and what it has acknowledged."""

    def __init__(self, database: Path, disk: Disk) -> None:
        self.acknowledged: list[str] = []
        self.has_ended = False
        command = [sys.executable, "-m", "tests.support.faults.writing", str(database)]
        env = {**os.environ, "PYTHONPATH": str(CHECKOUT), **disk.environment}
        self.process = Fork(command, cwd=CHECKOUT, env=env, has_stdin=True, has_stderr=True)

    def write(self, count: int) -> bool:
        """Write `count` rows; whether the process was still there at the end."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if not line.strip():
                return True
            self.acknowledged.append(line.strip())
        return False

    def end(self) -> tuple[int, str]:
        """Let it close, if it has not ended; its exit code and what it said."""
        self.has_ended = True
        with self.process as ending:
            _, said = ending.communicate(timeout=60)
            return ending.wait(), said

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.end()


@contextmanager
def writing(database: Path, disk: Disk) -> Iterator[Writing]:
    found = Writing(database, disk)
    try:
        yield found
    finally:
        if not found.has_ended:
            found.kill()


def assert_ended_in_one_line(writer: Writing, what: str) -> None:
    code, said = writer.end()
    assert code == os.EX_IOERR
    assert said.count("\n") == 1, said
    assert what in said
    assert "FSYNC" in said or "WRITE" in said


def assert_holds(database: Path, *writers: Writing) -> None:
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        held = {name for (name,) in connection.execute("SELECT id FROM graphs")}
    assert {name for writer in writers for name in writer.acknowledged} <= held


def test_a_commit_whose_sync_fails_ends_the_process_and_loses_nothing(database: Path, disk: Disk) -> None:
    with writing(database, disk) as writer:
        assert writer.write(20)
        disk.fail("sync", "-wal")
        assert not writer.write(20)
        assert_ended_in_one_line(writer, "sync of the database's log failed")
        assert len(writer.acknowledged) == 20
    disk.lose_power()
    assert_holds(database, writer)


def test_what_follows_a_failed_commit_is_kept_as_well(database: Path, disk: Disk) -> None:
    """What the failed sync was to write can still be read then, and would be missing in the middle of the log."""
    with writing(database, disk) as before:
        assert before.write(20)
        disk.fail("sync", "-wal")
        assert not before.write(20)
    with writing(database, disk) as after:
        assert after.write(20)
        after.kill()
    disk.lose_power()
    assert_holds(database, before, after)


@pytest.mark.parametrize("call", ["sync", "write"])
def test_a_checkpoint_that_fails_ends_the_process_and_loses_nothing(call: str, database: Path, disk: Disk) -> None:
    with writing(database, disk) as writer:
        assert writer.write(20)
        disk.fail(call, "rungraph.db")
        writer.write(2 * ROWS)
        assert disk.has_failed
        assert_ended_in_one_line(writer, "checkpoint of the database file failed")
        assert len(writer.acknowledged) > 20
    disk.lose_power()
    assert_holds(database, writer)


READING = """
import sqlite3, sys
reader = sqlite3.connect(sys.argv[1], isolation_level=None)
for text in ("BEGIN", "SELECT count(*) FROM graphs", "ROLLBACK", "SELECT 1"):
    reader.execute(text).fetchall()
    if not text.startswith("B"):
        print(text, flush=True)
        sys.stdin.readline()
"""


@pytest.mark.parametrize("is_reading_on", [False, True], ids=["reader gone", "reader stays"])
def test_pages_copied_before_a_checkpoint_failed_are_copied_again(
    is_reading_on: bool, database: Path, disk: Disk
) -> None:
    """A reader parts the checkpoint in two, of which SQLite syncs the second one alone."""

    def tell(go_on: str) -> None:
        assert reader.stdin is not None
        assert reader.stdout is not None
        reader.stdin.write(go_on)
        reader.stdin.flush()
        assert reader.stdout.readline()

    with writing(database, disk) as writer:
        assert writer.write(ROWS // 2)
        command = [sys.executable, "-c", READING, str(database)]
        environment = {**os.environ, **disk.environment}
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as reader:
            tell("")
            assert writer.write(ROWS)
            tell("\n")
            disk.fail("sync", "rungraph.db")
            writer.write(2 * ROWS)
            assert disk.has_failed
            if not is_reading_on:
                reader.kill()
                reader.wait()
            with writing(database, disk) as after:
                assert after.write(4 * ROWS)
                after.kill()
            reader.kill()
    disk.lose_power()
    assert_holds(database, writer, after)


def test_a_sync_that_fails_at_the_close_is_told_and_loses_nothing(database: Path, disk: Disk) -> None:
    with writing(database, disk) as writer:
        assert writer.write(20)
        disk.fail("sync", "rungraph.db")
        assert_ended_in_one_line(writer, "checkpoint of the database file failed")
    disk.lose_power()
    assert_holds(database, writer)


def test_power_losses_at_any_time_lose_nothing(database: Path, disk: Disk) -> None:
    writers = []
    for count in (1, ROWS // 2, ROWS + 20):
        with writing(database, disk) as writer:
            assert writer.write(count)
            writer.kill()
            writers.append(writer)
        disk.lose_power()
    assert_holds(database, *writers)


def test_a_server_ends_by_itself_and_starts_again(tmp_path: Path) -> None:
    server = Server(tmp_path)
    disk = Disk(library(), tmp_path / "disk", str(server.database))
    server = Server(tmp_path, **disk.environment)
    with running(server):
        graph = server.create({"start_node": "a", "nodes": {"a": {"sleep": 3600}}})
        run = server.run(graph)
        disk.fail("sync", "-wal")
        with pytest.raises(httpx.TransportError):  # Nothing is acknowledged any more.
            server.ask("POST", "/graph/run", json={"graph_id": graph})
        assert server.output().count("sync of the database's log failed") == 1
        assert server.process.returncode == os.EX_IOERR
    disk.lose_power()
    with running(server):
        assert server.follow(run, until=("waiting",))["step"] == 0
