"""Killed at any moment, and at each sync of a disk that then loses power, runs of pure tools keep their promises."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from service.store.database.sqlite.connections import Sqlite
from service.store.schema.migrate import migrate
from tests.support.checkout import CHECKOUT
from tests.support.faults.disk import Disk, library
from tests.support.profile import repeat

KILLS = repeat(2, 20)


class Place:
    """A database, processes that use it one after the other, and their ledger."""

    def __init__(self, folder: Path, disk: Disk | None) -> None:
        self._folder = folder
        self._file = folder / "rungraph.db"
        self._read = 0
        self._durable: dict[str, int] = {}
        """The steps that each run had when the last process began."""
        self.calls = 0
        self._lives = subprocess.Popen(
            [sys.executable, "-m", "tests.support.faults.pure_steps", str(folder)],
            cwd=CHECKOUT,
            env={**os.environ, **(disk.environment if disk else {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def live(self, kill_after_s: float | None = None, *, is_mutant: bool = False) -> int:
        """Let a process live until its end, and return its exit code."""
        assert self._lives.stdin is not None
        assert self._lives.stdout is not None
        self._lives.stdin.write(f"{'-' if kill_after_s is None else kill_after_s} {int(is_mutant)}\n")
        self._lives.stdin.flush()
        return int(self._lives.stdout.readline())

    def close(self) -> None:
        self._lives.communicate(timeout=60)

    def check(self) -> None:
        """Hold what the last process has called against what is on disk now."""
        with closing(sqlite3.connect(self._file)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            steps = dict(connection.execute("SELECT id, step FROM runs").fetchall())
            values = {
                (run_id, step): int(value)
                for run_id, step, value in connection.execute("SELECT run_id, step, value FROM changes WHERE key = 'n'")
            }
        lines = (self._folder / "ledger").read_text().splitlines()[self._read :]
        self._read += len(lines)
        reached: dict[str, int] = {}
        for line in lines:
            kind, run_id, text, n = line.split()
            step = int(text)
            self.calls += 1
            assert int(n) == step - 1, f"{line}: of another state"
            # Each process goes on with the step after the last one on disk, and leaves none out.
            assert step == reached.get(run_id, self._durable.get(run_id, 0)) + 1, f"{line}: its predecessor is lost"
            reached[run_id] = step
            if kind == "impure":
                assert steps[run_id] >= step - 1, f"{line}: called on a state that is not on disk"
                assert values[run_id, step - 1] == step - 1
        for run_id, step in steps.items():
            assert [values.get((run_id, number)) for number in range(step + 1)] == list(range(step + 1))
        self._durable = steps


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    migrate(Sqlite(tmp_path / "data" / "rungraph.db"))
    return tmp_path / "data"


@pytest.fixture
def disk(data: Path, tmp_path: Path) -> Disk:
    return Disk(library(), tmp_path / "disk", str(data / "rungraph.db"))


@contextmanager
def place(data: Path, disk: Disk | None = None) -> Iterator[Place]:
    found = Place(data, disk)
    try:
        yield found
    finally:
        found.close()


def test_killed_at_any_moment(data: Path) -> None:
    chance = random.Random(20261129)
    with place(data) as found:
        for _ in range(KILLS):
            assert found.live(chance.uniform(0, 0.05)) == -signal.SIGKILL
            found.check()
        assert found.calls >= KILLS


FIRST_SYNC = 5
"""The ones before are those of the start: the lease, the graph, the run, its claim."""


def test_dead_at_every_sync_with_the_power_lost(data: Path, disk: Disk) -> None:
    with place(data, disk) as found:
        for number in range(KILLS):
            disk.fail("sync", "-wal", str(FIRST_SYNC + number % 20))
            assert found.live() == os.EX_IOERR
            disk.lose_power()
            found.check()
        assert found.calls >= KILLS


def test_without_the_barrier_it_would_be_noticed(data: Path, disk: Disk) -> None:
    with place(data, disk) as found:

        def go_on_until_noticed() -> None:
            for number in range(20):
                disk.fail("sync", "-wal", str(FIRST_SYNC + number))
                found.live(is_mutant=True)
                disk.lose_power()
                found.check()

        with pytest.raises(AssertionError, match="called on a state that is not on disk"):
            go_on_until_noticed()
