"""A PostgreSQL that is restarted, ends connections or cannot be reached: what was acknowledged stays, and goes on.

By hand, for longer:
RUNGRAPH_TEST_RESTARTS_S=60 RUNGRAPH_TEST_CUT_S=20 pytest tests/system/postgres/test_postgres_faults.py
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from service.store.database.clock import Moment
from service.store.database.opening import database_at
from service.store.database.transaction import Transaction
from service.store.schema.models import servers
from tests.support.postgres import Databases, own_server
from tests.support.postgres import Server as Postgres
from tests.support.system.clients import Reading, Starting, at_once
from tests.support.system.invariants import check, counting, executions, query, unfinished
from tests.support.system.network import Link, namespace, proxy
from tests.support.system.process import DEADLINE_S, running, until
from tests.support.system.sharing import held_by, is_executing, server_on, start, still_held, taken_over

RESTARTS_S = float(os.environ.get("RUNGRAPH_TEST_RESTARTS_S", "6"))
RESTARTS_MIN = 3
PAUSES_S = (5.0, 10.0) if RESTARTS_S > 30 else (1.0, 2.0)
"""Between two restarts."""
CUT_S = float(os.environ.get("RUNGRAPH_TEST_CUT_S", "0"))
"""How long a server is cut off at least; always until all of its leases have run out."""
STEP_S = 0.3
RUNS = 80 if RESTARTS_S > 30 else 40


@pytest.fixture
def own() -> Iterator[Postgres]:
    with own_server(listen="*", max_connections="200") as server:
        yield server


def test_postgresql_is_restarted_again_and_again(own: Postgres, tmp_path: Path) -> None:
    steps = round(RESTARTS_S / STEP_S)
    # No run ends before the last restart.
    given = {"PAUSE_S": str(STEP_S), "HOLD_AT": str(steps)}
    all_three = [server_on(own.url, tmp_path, name, **given) for name in ("a", "b", "c")]
    with running(*all_three):
        graphs = [all_three[0].create(counting(steps, tool)) for tool in ("count", "count_on_a_thread")]
        start(all_three, graphs, RUNS)
        starting = [Starting(all_three, all_three[0].create(counting(3)), f"{number}-") for number in range(2)]
        reading = Reading(all_three, starting)
        with at_once(*(each.work for each in starting), reading.work):
            _disturb(own, random.Random(20261123))
        (tmp_path / "go.txt").touch()
        until(lambda: not unfinished(own.url), within_s=2 * DEADLINE_S, every_s=0.2)
        assert all(server.call("GET", "/readyz").status_code == 200 for server in all_three)
        for each in starting:
            each.check(own.url)
    made = query(own.url, "SELECT count(*) FROM run_tags")[0][0]
    assert made > 0
    assert reading.answers > 0
    check(own.url, runs=RUNS + made)
    assert {each.server for each in executions(tmp_path)} == {"a", "b", "c"}


def _disturb(own: Postgres, chance: random.Random) -> None:
    """Restart, gently or not, and end connections at random.

    For RESTARTS_S, and longer where that was not time for RESTARTS_MIN: how long each takes is the machine's affair.
    """
    end = time.monotonic() + RESTARTS_S
    restarts = 0
    while restarts < RESTARTS_MIN or time.monotonic() < end:
        restart_at = time.monotonic() + chance.uniform(*PAUSES_S)
        while time.monotonic() < restart_at:
            time.sleep(chance.uniform(0, 0.8))  # Any moment is meant.
            _end_some_connections(own.url)
        own.stop(chance.choice(["fast", "immediate"]))
        time.sleep(chance.uniform(0, 1.5))
        own.start()
        restarts += 1


def _end_some_connections(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND backend_type = 'client backend' ORDER BY random() LIMIT 3) AS chosen"
        )


def test_a_transaction_that_a_hanging_server_left_open_is_ended(postgres: Databases) -> None:
    """Wherever it hangs: its rows would stay locked otherwise, and nobody could take over its runs."""
    url = postgres.migrated()
    database = database_at(url)

    class Hangs:
        """A connection whose server hangs before it has sent the COMMIT."""

        def execute(self, text: str) -> Any:
            assert text == "COMMIT"
            raise TimeoutError

        def __getattr__(self, _name: str) -> Any:
            return lambda *_: None

    with closing(database.connect_writer()) as connection:
        pid = connection.info.backend_pid
        now_us = database.begin(connection)
        transaction = Transaction(connection.cursor(), "postgresql", Moment(now_us, time.monotonic(), now_us))
        now = transaction.moment.text()
        rows = [{"id": each, "address": "", "started_at": now, "seen_at": now, "active": 0} for each in "ab"]
        transaction.insert(servers, rows)
        transaction.insert(servers, [rows[0] | {"id": "c"}])
        with pytest.raises(TimeoutError):
            database.commit(Hangs(), transaction.cursor, transaction.inserts)
        until(lambda: not query(url, f"SELECT pid FROM pg_stat_activity WHERE pid = {pid}"))
    postgres.drop(url)


@pytest.mark.parametrize("linked", [proxy, namespace])
def test_a_server_is_cut_off_for_longer_than_its_lease(
    own: Postgres, tmp_path: Path, linked: Callable[[int], AbstractContextManager[Link]]
) -> None:
    with linked(own.port) as link:
        # No run ends before the cut, and no server has room for all: each holds 12 or more.
        given = {
            "PAUSE_S": "0.3",
            "HOLD_AT": "12",
            "RUNGRAPH_MAX_ACTIVE_RUNS": "24",
            "RUNGRAPH_LEASE_SECONDS": "1",
        }
        near = server_on(own.url, tmp_path, "near", **given)
        far = server_on(
            f"postgresql://postgres@{link.host}:{link.port}/postgres",
            tmp_path,
            "far",
            within=link.within,
            **given,
            RUNGRAPH_HOST=link.address,
            RUNGRAPH_ALLOW_ANONYMOUS="1",
        )
        with running(near, far):
            graphs = [near.create(counting(14, tool)) for tool in ("count", "count_on_a_thread")]
            start([near, far], graphs, 36)
            until(lambda: is_executing(own.url, far, "far", runs_min=8))
            link.cut()
            cut_at = time.monotonic()
            held = held_by(own.url, far)
            (tmp_path / "go.txt").touch()
            until(lambda: not still_held(own.url, held))
            held = taken_over(own.url, held)
            assert len(held) >= 5
            until(lambda: time.monotonic() >= cut_at + CUT_S)
            link.mend()
            until(lambda: all(f"on run {run_id}" in far.said for run_id in held))
            until(lambda: not unfinished(own.url))
            assert near.stop() == 0

            # From here on it is alone, and a server as good as any.
            last = start([far], [far.create(counting(3))], 10)
            until(lambda: not unfinished(own.url))
    check(own.url, runs=46)
    late = dict(query(own.url, "SELECT run_id, max(lease_token) FROM snapshots GROUP BY run_id"))
    assert all(late[run_id] > token for run_id, token in held.items())
    executed = executions(tmp_path)
    assert {each.server for each in executed if each.run_id in last} == {"far"}
