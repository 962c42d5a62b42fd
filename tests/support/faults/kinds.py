"""The kinds of faults. Each is called again and again during a round, and undoes what it did before it returns."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing, suppress

import psycopg

from tests.support.faults.rounds import Fault, Stage

LONGER_THAN_A_LEASE_S = (2.2, 3.5)


def server_killed(stage: Stage) -> None:
    """SIGKILL; whoever keeps the server up starts it again."""
    server = stage.serving()
    if server.process.poll() is None:
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()


def server_stopped(stage: Stage) -> None:
    """SIGTERM."""
    server = stage.serving()
    if server.process.poll() is None:
        server.process.send_signal(signal.SIGTERM)
        server.process.wait()


def server_frozen(stage: Stage) -> None:
    """SIGSTOP for longer than a lease, and SIGCONT."""
    process = stage.serving().process
    if process.poll() is None:
        process.send_signal(signal.SIGSTOP)
        stage.pause(*LONGER_THAN_A_LEASE_S)
        process.send_signal(signal.SIGCONT)


def file_locked(stage: Stage) -> None:
    """Somebody else writes to the SQLite file."""
    with closing(sqlite3.connect(stage.database, isolation_level=None, timeout=10)) as locker:
        locker.execute("BEGIN IMMEDIATE")
        stage.pause(0.1, 3)
        locker.execute("ROLLBACK")


def long_reader(stage: Stage) -> None:
    """A snapshot that stays open keeps the log from being emptied."""
    with closing(sqlite3.connect(stage.database, isolation_level=None, timeout=10)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM runs").fetchall()
        stage.pause(1, 4)


def sync_failed(stage: Stage) -> None:
    """One of the next syncs of the log or of the database file fails, and its server ends; often the power goes too."""
    assert stage.disk is not None
    server = stage.serving()
    stage.disk.fail("sync", *stage.chance.choice([("-wal", str(stage.chance.randint(1, 40))), ("rungraph.db", "1")]))
    with stage.keeping:
        with suppress(subprocess.TimeoutExpired):
            server.process.wait(20)
        if server.process.poll() is not None and stage.chance.random() < 0.7:
            stage.disk.lose_power()


def power_lost(stage: Stage) -> None:
    """Nothing is on the disk but what was synced."""
    assert stage.disk is not None
    server = stage.serving()
    with stage.keeping:
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        stage.disk.lose_power()


def backends_ended(stage: Stage) -> None:
    """Every connection to PostgreSQL breaks."""
    assert stage.postgres is not None
    stage.postgres.terminate_backends()


def postgres_restarted(stage: Stage) -> None:
    assert stage.postgres is not None
    stage.postgres.stop(stage.chance.choice(["fast", "immediate"]))
    stage.postgres.start()


def postmaster_killed(stage: Stage) -> None:
    """SIGKILL to PostgreSQL's first process."""
    assert stage.postgres is not None
    stage.postgres.kill()
    stage.postgres.start()


def postgres_frozen(stage: Stage) -> None:
    """One of PostgreSQL's backends stops in whatever it does."""
    assert stage.postgres is not None
    with psycopg.connect(stage.postgres.url, autocommit=True) as connection:
        found = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'rungraph' ORDER BY random() LIMIT 1"
        ).fetchall()
    for (pid,) in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            stage.pause(0.2, 2)
            os.kill(pid, signal.SIGCONT)


def row_locked(stage: Stage) -> None:
    """Somebody holds a run's row."""
    with psycopg.connect(str(stage.database)) as connection:
        connection.execute(
            "SELECT id FROM runs WHERE status = 'running' ORDER BY random() LIMIT 3 FOR UPDATE SKIP LOCKED"
        )
        stage.pause(0.5, 4)
        connection.rollback()


def table_locked(stage: Stage) -> None:
    """Somebody holds a table that only some commands touch."""
    table = stage.chance.choice(["signals", "waits", "idempotency_keys", "visits"])
    with psycopg.connect(str(stage.database)) as connection:
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        stage.pause(0.5, 3)
        connection.rollback()


def nothing(stage: Stage) -> None:
    """No fault: what the suite itself finds wrong shows here."""
    stage.pause(0.5, 1)


ON_SQLITE: Sequence[Fault] = (
    nothing,
    server_killed,
    server_stopped,
    server_frozen,
    file_locked,
    long_reader,
    sync_failed,
    power_lost,
)
ON_POSTGRESQL: Sequence[Fault] = (
    nothing,
    server_killed,
    server_stopped,
    server_frozen,
    backends_ended,
    postgres_restarted,
    postmaster_killed,
    postgres_frozen,
    row_locked,
    table_locked,
)
