"""The CHECKs mirror the statuses, and an upgrade keeps what is there: both on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config

from service.core.errors import Conflict
from service.core.transitions import CLAIMABLE, OVER, Status
from service.store.database.opening import database_at
from service.store.database.protocol import Database
from service.store.database.sqlite.connections import Sqlite
from service.store.schema.migrate import migrate
from tests.support.checkout import CHECKOUT
from tests.support.postgres import Databases
from tests.support.store.harness import COUNTER, HEAD, ask, key_of, opened, sql, start_of


@pytest.mark.parametrize("status", Status)
def test_the_checks_mirror_the_statuses(database: Database, status: Status) -> None:
    """A row of each status as it must be goes in, and none that lacks or has what it must not."""
    columns = {
        "lease_owner": "'s'" if status is Status.RUNNING else "NULL",
        "due_at": "'2030-01-01'" if status in CLAIMABLE else "NULL",
        "finished_at": "'2030-01-01'" if status in OVER else "NULL",
        "error": "'{}'" if status is Status.FAILED else "NULL",
        "current_node": "NULL" if status in (Status.COMPLETED, Status.CANCELLED) else "'a'",
    }

    def insert(wrong: str | None = None, **other: Any) -> str:
        values = {**columns, **({wrong: "NULL" if columns[wrong] != "NULL" else "'2030-01-01'"} if wrong else {})}
        counts = {"step": 0, "attempt": 1, "crashes": 0, "in_flight": 0, "last_seq": 0, "lease_token": 0, **other}
        return (
            f"INSERT INTO runs (id, graph_id, status, tags, created_at, moved_at, {', '.join((*counts, *values))})"
            f" VALUES ('r', 'g', '{status}', '{{}}', '2030-01-01', '2030-01-01',"
            f" {', '.join(map(str, (*counts.values(), *values.values())))})"
        )

    with sql(database) as session:
        session.execute("INSERT INTO graphs VALUES ('g', '', 'a', '{}', '2030-01-01', NULL)")
        for wrong in columns:
            # What waits may wait without a due time: for a signal, say.
            if (status, wrong) != (Status.WAITING, "due_at"):
                with pytest.raises(database.bugs, match=r"(?i)check constraint"):
                    session.execute(insert(wrong))
        for name, count in (("step", -1), ("attempt", 0), ("crashes", -1), ("last_seq", -1)):
            with pytest.raises(database.bugs, match=r"(?i)check constraint.*runs_counts"):
                session.execute(insert(None, **{name: count}))
        session.execute(insert())
    assert ask(database, "SELECT status FROM runs") == [(status.value,)]


def test_no_other_status_goes_in(database: Database) -> None:
    with sql(database) as session, pytest.raises(database.bugs, match=r"(?i)check constraint"):
        session.execute(
            "INSERT INTO runs (id, graph_id, status, step, current_node, attempt, crashes, in_flight, last_seq,"
            " lease_token, tags, created_at, moved_at)"
            " VALUES ('r', 'g', 'sleeping', 0, 'a', 1, 0, 0, 0, 0, '{}', '2030-01-01', '2030-01-01')"
        )


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        yield Sqlite(tmp_path / "empty.db")
        return
    postgres: Databases = request.getfixturevalue("postgres")
    url = postgres.empty()
    yield database_at(url)
    postgres.drop(url)


def migrate_to(database: Database, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(CHECKOUT / "migrations"))
    with database.migrating() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


async def test_an_upgrade_from_the_first_schema_keeps_keys_runs_and_servers(empty: Database) -> None:
    migrate_to(empty, "0001")
    with sql(empty) as session:
        session.execute("INSERT INTO graphs VALUES (?, '', 'a', ?, '2030-01-01')", (COUNTER.id, COUNTER.text))
        session.execute("INSERT INTO servers VALUES ('old', 'old:1', '2030-01-01', '2030-01-01')")
        for number in range(3):
            session.execute(
                "INSERT INTO runs (id, graph_id, status, step, current_node, attempt, crashes, in_flight, last_seq,"
                " lease_token, due_at, tags, created_at, moved_at) VALUES (?, ?, 'queued', 0, 'a', 1, 0, 0, 0, 0,"
                " '2020-01-01T00:00:00.000Z', '{}', '2020-01-01T00:00:00.000Z', '2020-01-01T00:00:00.000Z')",
                (f"r{number}", COUNTER.id),
            )
            key = key_of(f"k{number}")
            session.execute(
                "INSERT INTO idempotency_keys VALUES (?, ?, ?, ?)", (key.scope, key.key, key.body_digest, f"r{number}")
            )
    keys = ask(empty, "SELECT * FROM idempotency_keys ORDER BY key")
    assert len(keys) == 3
    assert migrate(empty) == [HEAD]
    assert ask(empty, "SELECT * FROM idempotency_keys ORDER BY key") == keys
    assert ask(empty, "SELECT id, active FROM servers") == [("old", None)]

    async with opened(empty) as store:
        assert await store.runs.start(start_of("new"), key_of("k1")) == ("r1", False)
        with pytest.raises(Conflict):
            await store.runs.start(start_of("new"), key_of("k2", "another body"))
        assert await store.runs.start(start_of("new"), key_of("k3")) == ("new", True)
        assert [claim.lease.run_id for claim in await store.leases.claim(3)] == ["r0", "r1", "r2"]


def test_a_key_without_its_run_is_refused_at_the_commit(database: Database) -> None:
    with sql(database) as session:
        session.execute("BEGIN")
        if database.dialect == "sqlite":
            session.execute("ROLLBACK")
            session.execute("PRAGMA foreign_keys = ON")
            session.execute("BEGIN")
        session.execute("INSERT INTO idempotency_keys VALUES ('s', 'k', 'd', 'nobody')")
        with pytest.raises(database.bugs, match=r"(?i)foreign key"):
            session.execute("COMMIT")
