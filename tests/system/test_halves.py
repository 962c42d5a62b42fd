"""The API without an engine and an engine without the API, which meet in the database; and starts that are refused."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from tests.support.postgres import Databases, own_server
from tests.support.system.invariants import TOOLS, check, counting, executions, query, unfinished
from tests.support.system.process import Server, running, until
from tests.support.system.sharing import server_on, start
from tests.support.system.tails import lines_of_websocket

API = ("serve", "--port", "0", "--no-engine")
ENGINE = ("engine",)


class Refusal(NamedTuple):
    code: int
    said: str


def refusal_of(server: Server) -> Refusal:
    server.launch()
    said = server.output()
    return Refusal(server.process.wait(), said)


@pytest.fixture(scope="module", autouse=True)
def refusals(
    postgres: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[str, str], Future[Refusal]]]:
    """Starts that cannot succeed. Begun before the other tests, since some wait for a database that may still come."""
    folder = tmp_path_factory.mktemp("refused")
    relaxed = postgres.migrated()
    with socket.socket() as unused, own_server(fsync="off") as unsafe, ThreadPoolExecutor(5) as threads:
        unused.bind(("127.0.0.1", 0))
        with psycopg.connect(relaxed, autocommit=True) as connection:
            connection.execute(
                "ALTER ROLE CURRENT_USER IN DATABASE {} SET synchronous_commit = off".format(
                    psycopg.conninfo.conninfo_to_dict(relaxed)["dbname"]
                ).encode()
            )
        urls = {
            "unreachable": f"postgresql://127.0.0.1:{unused.getsockname()[1]}/any",
            "misnamed": postgres.url.rpartition("/")[0] + "/no_such_database",
            "fsync": unsafe.url,
            "synchronous_commit": relaxed,
        }
        asked = [(name, "serve") for name in urls] + [("unreachable", "engine"), ("fsync", "engine")]
        yield {
            (name, what): threads.submit(
                refusal_of, server_on(urls[name], folder, name, what=ENGINE if what == "engine" else API[:3])
            )
            for name, what in asked
        }
    postgres.drop(relaxed)


@pytest.fixture
def database(postgres: Databases) -> Iterator[str]:
    url = postgres.migrated()
    yield url
    postgres.drop(url)


def test_what_the_api_accepts_an_engine_executes_and_the_next_one_where_it_stops(database: str, tmp_path: Path) -> None:
    api = server_on(database, tmp_path, "api", what=API)
    # With the longest of leases: the second one goes on because the run is released.
    first, second = (
        server_on(database, tmp_path, name, what=ENGINE, RUNGRAPH_LEASE_SECONDS="3600") for name in ("first", "second")
    )
    with running(api):
        before = start([api], [api.create(counting(10))], 5)
        assert api.call("GET", "/readyz").status_code == 200
        assert query(database, "SELECT DISTINCT status, lease_token FROM runs") == [("queued", 0)]
        with ThreadPoolExecutor(1) as threads:
            tail = threads.submit(lambda: list(lines_of_websocket(api, before[0])))
            with running(first):
                lines = tail.result()
                until(lambda: not unfinished(database))
                (asleep,) = start([api], [api.create(counting(1, "sleep_long_first"))], 1)
                until(lambda: any(each.run_id == asleep for each in executions(tmp_path)))
                with running(second):
                    code = first.stop()
                    until(lambda: not unfinished(database))
        assert api.stop() == 0
    assert code == 0
    check(database, runs=6)
    rows = query(database, f"SELECT seq, event FROM v_lines WHERE run_id = '{before[0]}' ORDER BY seq")
    assert [(line["seq"], line["event"]) for line in lines] == rows
    executed = executions(tmp_path)
    assert {each.server for each in executed if each.run_id in before} == {"first"}
    assert [each.server for each in sorted(executed) if each.run_id == asleep] == ["first", "second"]
    resumed = query(
        database,
        "SELECT count(*) FROM attempts a JOIN log_lines l"
        " ON l.run_id = a.run_id AND l.event = 'run_resumed' AND a.error LIKE '%interrupted%'",
    )
    assert resumed == [(1,)]


def test_on_sqlite_the_halves_work_one_after_the_other(tmp_path: Path) -> None:
    given = {"folder": tmp_path, "tools": [TOOLS]}
    api, engine = Server(**given, what=API), Server(**given, what=ENGINE)  # type: ignore[arg-type]  # as they are
    with running(api):
        start([api], [api.create(counting(5))], 3)
        refused = Server(**given, what=ENGINE)  # type: ignore[arg-type]  # as they are
        refused.launch()
        assert api.url in refused.output()
        assert refused.process.returncode == 2
        assert api.stop() == 0
    assert query(api.database, "SELECT DISTINCT status, step FROM runs") == [("queued", 0)]
    with running(engine):
        until(lambda: not unfinished(engine.database))
        assert engine.stop() == 0
    check(engine.database, runs=3)


@pytest.mark.parametrize(
    ("name", "what", "words"),
    [
        ("unreachable", "serve", ["cannot use postgresql://127.0.0.1:", "onnection"]),
        ("unreachable", "engine", ["cannot use postgresql://127.0.0.1:", "onnection"]),
        ("misnamed", "serve", ["/no_such_database", "does not exist"]),
        ("fsync", "serve", ["fsync is off", "RUNGRAPH_ALLOW_UNDURABLE=1"]),
        ("fsync", "engine", ["fsync is off", "RUNGRAPH_ALLOW_UNDURABLE=1"]),
        ("synchronous_commit", "serve", ["synchronous_commit is off", "RUNGRAPH_ALLOW_UNDURABLE=1"]),
    ],
)
def test_a_start_is_refused_in_one_clear_line(
    refusals: dict[tuple[str, str], Future[Refusal]], name: str, what: str, words: list[str]
) -> None:
    refusal = refusals[name, what].result()
    assert refusal.code == 2, refusal.said
    *before, line = refusal.said.splitlines()
    assert line.startswith("rungraph: ")
    assert all(word in line for word in words), refusal.said
    if name == "unreachable":
        waiting = before.pop()
        assert "waiting up to 10 s for postgresql://127.0.0.1:" in waiting
        assert "onnection refused" in waiting
    assert before == []
