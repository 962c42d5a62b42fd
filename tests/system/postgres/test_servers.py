"""Several servers on one PostgreSQL: they share the runs, and one that dies, hangs or stops costs none of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.support.postgres import Databases
from tests.support.system.invariants import check, counting, executions, query, unfinished
from tests.support.system.process import Server, running, until
from tests.support.system.sharing import held_by, is_executing, server_on, start, still_held, taken_over
from tests.support.system.tails import Line, Tail, lines_cut, lines_of_events, lines_of_websocket


@pytest.fixture
def database(postgres: Databases) -> Iterator[str]:
    url = postgres.migrated()
    yield url
    postgres.drop(url)


def test_of_three_servers_one_is_killed_and_one_hangs(database: str, tmp_path: Path) -> None:
    # No run ends before two servers have failed, and no server has room for the runs of two: each holds 20 or more.
    given = {"PAUSE_S": "0.2", "HOLD_AT": "18", "RUNGRAPH_MAX_ACTIVE_RUNS": "30"}
    killed, hung, third = (server_on(database, tmp_path, name, **given) for name in ("killed", "hung", "third"))
    with running(killed, hung, third):
        graphs = [third.create(counting(20, tool)) for tool in ("count", "count_on_a_thread")]
        started = start([killed, hung, third], graphs, 80)
        until(lambda: is_executing(database, killed, "killed", runs_min=15))
        until(lambda: is_executing(database, hung, "hung", runs_min=15))
        hung.freeze()
        hanging = held_by(database, hung)
        killed.kill()
        orphans = held_by(database, killed)
        (tmp_path / "go.txt").touch()
        until(lambda: not still_held(database, hanging | orphans))
        hanging, orphans = taken_over(database, hanging), taken_over(database, orphans)
        assert min(len(hanging), len(orphans)) >= 10
        hung.thaw()
        until(lambda: not unfinished(database))
        until(lambda: all(f"on run {run_id}" in hung.said for run_id in hanging))
        assert third.stop() == 0

        # From here on it is alone, and a server as good as any.
        last = start([hung], [hung.create(counting(3))], 10)
        until(lambda: not unfinished(database))
    check(database, runs=90)
    late = query(database, "SELECT run_id, max(lease_token) FROM snapshots GROUP BY run_id")
    assert all(token > hanging[run_id] for run_id, token in late if run_id in hanging)
    executed = executions(tmp_path)
    assert len({(each.run_id, each.step) for each in executed}) == len(started) * 20 + len(last) * 3
    assert {each.server for each in executed if each.run_id in last} == {"hung"}
    assert max(executed.values()) == 1  # No server by itself does a step twice.
    taken = query(database, "SELECT DISTINCT run_id FROM log_lines WHERE message LIKE 'taken over%'")
    assert orphans.keys() <= {run_id for (run_id,) in taken}


def test_what_a_stopping_server_releases_goes_on_elsewhere_before_its_lease_ends(database: str, tmp_path: Path) -> None:
    # With the longest of leases: nothing here is waited out.
    given = {"PAUSE_S": "0.1", "HOLD_AT": "18", "RUNGRAPH_MAX_ACTIVE_RUNS": "40", "RUNGRAPH_LEASE_SECONDS": "3600"}
    stopping, staying = (server_on(database, tmp_path, name, **given) for name in ("stopping", "staying"))
    with running(stopping, staying):
        start([stopping, staying], [staying.create(counting(20))], 60)
        until(lambda: is_executing(database, stopping, "stopping", runs_min=10))
        held = held_by(database, stopping)
        (tmp_path / "go.txt").touch()
        code = stopping.stop()
        until(lambda: not unfinished(database))
    assert code == 0
    check(database, runs=60)
    assert all(count == 1 for count in executions(tmp_path).values())
    # Each was released as soon as the step before was committed.
    resumed = query(
        database,
        "SELECT l.run_id FROM log_lines l JOIN snapshots s ON s.run_id = l.run_id AND s.step = l.step - 1"
        " WHERE l.event = 'run_resumed'",
    )
    assert len({run_id for (run_id,) in resumed} & held.keys()) >= len(held) / 2  # Of others that was the last step.


@contextmanager
def deafened(database: str) -> Iterator[list[int]]:
    """The connections that servers hear hints by are terminated over and over; how many each time."""
    terminate = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND (query LIKE 'LISTEN%' OR query LIKE 'SELECT pg_notify%')"
    )
    counts: list[int] = []
    ended = threading.Event()

    def work() -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            while not ended.wait(0.03):
                counts.append(len(connection.execute(terminate).fetchall()))

    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(work)
        try:
            yield counts
        finally:
            ended.set()
            working.result()


@pytest.mark.parametrize("hints", [True, False])
def test_a_tail_on_another_server_sees_exactly_the_rows_of_the_table(
    database: str, tmp_path: Path, hints: bool
) -> None:
    here = server_on(database, tmp_path, "here", what=("serve", "--port", "0", "--no-engine"))
    there = server_on(database, tmp_path, "there", PAUSE_S="0.05")
    with running(here, there):
        graphs = [here.create(counting(40, tool)) for tool in ("count", "count_on_a_thread")]
        if hints:
            seen = follow_four(here, graphs)
        else:
            with deafened(database) as counts:
                seen = follow_four(here, graphs)
            assert sum(counts) > 5
            assert "no notifications from other servers now" in here.said
    check(database, runs=4)
    assert {each.server for each in executions(tmp_path)} == {"there"}
    for run_id, lines in seen.items():
        rows = query(database, f"SELECT seq, event, step, message FROM v_lines WHERE run_id = '{run_id}' ORDER BY seq")
        assert [(line["seq"], line["event"], line["step"], line["message"]) for line in lines] == rows


def follow_four(server: Server, graph_ids: Sequence[str]) -> dict[str, list[Line]]:
    """Four new runs, followed side by side, and cut every few lines."""
    tails: list[Tail] = [lines_of_websocket, lines_of_websocket, lines_of_events, lines_of_events]
    run_ids = start([server], graph_ids, 4)
    with ThreadPoolExecutor(4) as threads:
        found = threads.map(lines_cut, tails, [server] * 4, run_ids, [7, 11, 5, 13])
        return dict(zip(run_ids, found, strict=True))


def test_six_servers_start_at_once_on_an_empty_database(postgres: Databases, tmp_path: Path) -> None:
    database = postgres.empty()
    servers = [server_on(database, tmp_path, f"server-{number}", PAUSE_S="0.2") for number in range(6)]
    with running(*servers):
        assert query(database, "SELECT count(*) FROM alembic_version") == [(1,)]
        until(lambda: query(database, "SELECT count(DISTINCT address) FROM servers") == [(6,)])
        graphs = {server.create(counting(3)) for server in servers}
        assert len(graphs) == 1
        start(servers, list(graphs), 18)
        until(lambda: not unfinished(database))
        assert all(server.call("GET", "/readyz").status_code == 200 for server in servers)
        assert all(len(server.call("GET", "/runs?status=completed").json()["items"]) == 18 for server in servers)
        with ThreadPoolExecutor(6) as threads:
            assert list(threads.map(Server.stop, servers)) == [0] * 6
    check(database, runs=18)
    assert all("Traceback" not in server.said for server in servers)
    postgres.drop(database)
