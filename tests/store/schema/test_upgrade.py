"""What an older version has written is there byte for byte after the upgrade, and the new one goes on with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config

from service.core import codec
from service.core.transitions import Status
from service.store.database.opening import database_at
from service.store.database.protocol import Database
from service.store.database.sqlite.connections import Sqlite
from service.store.schema.migrate import _migrations, migrate
from tests.support.postgres import Databases
from tests.support.store.carrying import APPROVAL, LEAF, claim, parked, rest
from tests.support.store.harness import HEAD, ask, opened, rows_of, sql

TIME, LATER = "2026-01-01T00:00:00.123Z", "2026-01-01T00:00:01.124Z"
ODD = "100% 'quoted' \"twice\" \\ ünïcödé 🦀 …"
LARGE = 2**63 - 1

RUN = {
    "graph_id": LEAF.id,
    "step": 1,
    "current_node": "a",
    "attempt": 1,
    "crashes": 0,
    "in_flight": 1,
    "last_seq": 2,
    "lease_owner": None,
    "lease_token": 1,
    "due_at": None,
    "error": None,
    "tags": codec.encode({"k": ODD}),
    "created_at": TIME,
    "started_at": TIME,
    "moved_at": LATER,
    "finished_at": None,
}
ROWS: dict[str, list[dict[str, Any]]] = {
    "graphs": [
        {"id": LEAF.id, "name": ODD, "start_node": "a", "definition": codec.encode(LEAF.document()), "created_at": TIME}
    ],
    "runs": [
        RUN | {"id": "queued", "status": "queued", "due_at": TIME, "started_at": None, "step": 0, "lease_token": 0},
        RUN | {"id": "running", "status": "running", "due_at": LATER, "lease_owner": "gone", "crashes": 2},
        RUN
        | {
            "id": "failed",
            "status": "failed",
            "finished_at": LATER,
            "error": '{"type":"t","message":"' + "é" * 9 + '"}',
        },
        RUN | {"id": "completed", "status": "completed", "finished_at": LATER, "current_node": None, "last_seq": LARGE},
    ],
    "run_tags": [{"tag": f"k:{ODD}", "created_at": TIME, "run_id": "queued"}],
    "snapshots": [
        {
            "run_id": run_id,
            "step": 1,
            "node": ODD,
            "attempt": 7,
            "lease_token": 1,
            "next_node": next_node,
            "reason": "condition",
            "evaluated": '[{"to":null,"operands":{"x":1.0}}]',
            "is_abridged": 0,
            "started_at": TIME,
            "finished_at": LATER,
            "duration_ms": 0.1 + 0.2,
        }
        for run_id, next_node in (("running", "a"), ("failed", "a"), ("completed", None))
    ],
    "changes": [
        {"run_id": "running", "key": key, "step": step, "value": value, "position": position, "long_key": None}
        for key, step, value, position in (("n", 0, "18446744073709551616", 0), ("n", 1, "-0.0", 0), (ODD, 0, None, 1))
    ],
    "attempts": [
        {"run_id": "failed", "step": 2, "attempt": 1, "error": "{}", "started_at": TIME, "finished_at": LATER}
    ],
    "log_lines": [
        {
            "run_id": "running",
            "seq": seq,
            "ts": TIME,
            "level": "info",
            "event": "log",
            "node": None,
            "step": None,
            "attempt": None,
            "message": ODD,
            "data": '{"a":[1,1.0]}',
        }
        for seq in (1, 2)
    ],
    "idempotency_keys": [{"scope": "s", "key": "k", "body_digest": "d", "run_id": "queued"}],
    "servers": [{"id": "gone", "address": "a:1", "started_at": TIME, "seen_at": TIME, "active": None}],
}


@pytest.fixture
def empty_file(tmp_path: Path) -> Database:
    return Sqlite(tmp_path / "rungraph.db")


@pytest.fixture
def empty_server(postgres: Databases) -> Iterator[Database]:
    url = postgres.empty()
    yield database_at(url)
    postgres.drop(url)


@pytest.fixture(params=["empty_file", "empty_server"], ids=["sqlite", "postgresql"])
def before(request: pytest.FixtureRequest) -> Database:
    """A database of revision 0002, with rows in every table."""
    database: Database = request.getfixturevalue(request.param)
    config = Config()
    config.set_main_option("script_location", str(_migrations()))
    with database.migrating() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
    with sql(database) as session:
        for table, rows in ROWS.items():
            for row in rows:
                marks = ", ".join("?" * len(row))
                session.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))
    return database


def kept(database: Database) -> dict[str, list[Any]]:
    """All rows, of the columns that there were; and what the views make of them."""
    found = {
        table: ask(database, f"SELECT {', '.join(rows[0])} FROM {table} ORDER BY 1, 2, 3")
        for table, rows in ROWS.items()
    }
    views = {
        "v_runs": "run_id, graph, graph_id, status, step, current_node, started_at, error_type, error_message",
        "v_steps": "run_id, step, node, went_to, reason, evaluated, attempt, duration_ms",
        "v_states": "run_id, step, state",
        "v_lines": "run_id, seq, ts, level, event, node, step, attempt, message, data",
    }
    return found | {
        view: ask(database, f"SELECT {columns} FROM {view} ORDER BY 1, 2") for view, columns in views.items()
    }


def test_rows_of_before_are_the_same_after_the_upgrade(before: Database) -> None:
    rows = kept(before)
    for table, given in ROWS.items():
        assert sorted(rows[table], key=repr) == sorted((tuple(row.values()) for row in given), key=repr)
    assert migrate(before) == [HEAD]
    assert kept(before) == rows
    with sql(before) as session:
        added = "failures, patches, max_steps, pause_asked, parent_id, depth, forked_from_id"
        assert set(rows_of(session, f"SELECT {added} FROM runs")) == {(0, 0, None, 0, None, 0, None)}
        # Of those that were in flight, only a queued one was released by its server.
        asked = "SELECT status, is_resume_unlogged FROM runs ORDER BY 1"
        assert rows_of(session, asked) == [("completed", 0), ("failed", 0), ("queued", 1), ("running", 0)]
        for table in ("waits", "signals", "visits"):
            assert rows_of(session, f"SELECT * FROM {table}") == []
    assert migrate(before) == [HEAD]
    assert kept(before) == rows


async def test_runs_of_before_go_on_after_the_upgrade(before: Database) -> None:
    migrate(before)

    async with opened(before) as store:
        await store.leases.seize()
        claimed = await claim(store, "running")
        assert (claimed.run.crashes, claimed.run.failures, claimed.run.waited) == (3, 0, None)
        assert claimed.run.state.to_text() == '{"n":-0.0}'
        assert (await rest(store, claimed)).status is Status.COMPLETED
        assert await store.control.resume("failed") == "queued"
        assert (await rest(store, await claim(store, "failed"))).status is Status.COMPLETED
        assert await store.control.pause("queued") == "paused"
        assert (await store.history.page("failed", 0, 10)).items[0].node == ODD


async def test_the_view_of_runs_says_what_a_run_waits_for_while_it_does(database: Database) -> None:
    query = "SELECT waits_for, signal FROM v_runs WHERE run_id = 'r'"

    async with opened(database) as store:
        await parked(store, "r", APPROVAL)
        assert ask(database, query) == [("signal", "ok")]
        await store.control.pause("r")
        assert ask(database, query) == [("signal", "ok")]
        await store.control.resume("r")
        await store.signals.send("r", "ok", "1")
        claimed = await claim(store, "r")
        assert ask(database, query) == [(None, None)]
        await rest(store, claimed)
        assert ask(database, query) == [(None, None)]
