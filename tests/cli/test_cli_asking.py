"""`rungraph run`, `runs` and `logs` beside others: a server that owns the database, an engine alone, PostgreSQL."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import psycopg
import pytest

from service.core.state import State
from service.core.validation import read_graph
from service.store import Store
from service.store.commands.start import Start
from service.store.database.sqlite.connections import Sqlite
from service.store.schema.migrate import migrate
from tests.support.postgres import Databases
from tests.support.system.commands import Ask, begun, of, read_until, rungraph
from tests.support.system.process import serving


def test_a_run_is_executed_by_the_server_that_owns_the_database(folder: Path, ask: Ask) -> None:
    with serving(folder, tools=["tools.py"]) as server:
        done = ask("run", "loop.json", "--state", '{"n": 1}', "--tools", "other.py")
        assert done.code == 0
        assert done.err == (
            f"rungraph: the server at {server.url} executes the run, with its own tools and not with --tools\n"
        )
        (run,) = server.call("GET", "/runs").json()["items"]
        assert done.out.splitlines()[0] == f"run {run['run_id']}"
        assert "completed after step 2" in done.out
        assert run["run_id"] in ask("runs").out
        assert "completed after step 2" in ask("logs", run["run_id"]).out
        (folder / "bad.json").write_text(of("bmup", edges='{"b": "a"}'))
        refused = ask("run", "bad.json")
        assert (refused.code, refused.out) == (2, "")
        assert "/nodes/a: " in refused.err
        assert "/edges/b: " in refused.err
        created = ask("create", "loop.json", "--tools", "other.py")
        assert created.code == 0
        assert f"the server at {server.url} checks the graph with its own tools" in created.err


def test_a_graph_is_created_with_the_tools_that_are_named(folder: Path, ask: Ask) -> None:
    refused = ask("create", "loop.json")
    assert refused.code == 2
    assert "name their file in --tools" in refused.err
    # In a process of its own, which keeps the tools from the other tests.
    created = rungraph(folder, "create", "loop.json", "--tools", "tools.py")
    assert (created.returncode, created.stderr) == (0, "")
    assert created.stdout.split()[1] in ask("graph", "show", "loop").out


@pytest.mark.parametrize("token", ["secret", "tökén-voilà"])
def test_a_server_with_a_token_is_asked_with_it(folder: Path, ask: Ask, token: str) -> None:
    with serving(folder, RUNGRAPH_API_TOKEN=token):
        refused = ask("runs")
        assert (refused.code, refused.err.count("\n")) == (2, 1)
        assert "RUNGRAPH_API_TOKEN" in refused.err
        asked = rungraph(folder, "runs", RUNGRAPH_API_TOKEN=token)
        assert (asked.returncode, asked.stdout) == (0, "no runs\n")


def test_a_stopped_command_leaves_its_run_to_the_server(folder: Path) -> None:
    with serving(folder, tools=["tools.py"]) as server:
        with begun(folder, "run", "wait.json") as process:
            run_id = read_until(process.stdout, "run ").split()[1]
            read_until(process.stdout, "waiting")
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=60)[1]
            assert process.returncode == 130
        assert f"run {run_id} is left to the server at {server.url}" in said
        (folder / "go").touch()
        assert server.follow(run_id)["status"] == "completed"


def test_following_outlives_a_server_that_is_killed_and_started_again(folder: Path) -> None:
    with serving(folder, tools=["tools.py"]) as server, begun(folder, "run", "wait.json") as process:
        read_until(process.stdout, "waiting")
        server.kill()
        read_until(process.stderr, "does not answer")
        port = server.url.rpartition(":")[2]
        with serving(folder, tools=["tools.py"], what=("serve", "--port", port)):
            read_until(process.stdout, "taken over")
            (folder / "go").touch()
            assert "completed after step 1" in process.communicate(timeout=60)[0]
            assert process.returncode == 0


def test_beside_an_engine_without_http_runs_can_be_read_but_not_started(folder: Path, ask: Ask) -> None:
    with begun(folder, "run", "wait.json", "--tools", "tools.py") as process:
        run_id = read_until(process.stdout, "run ").split()[1]
        read_until(process.stdout, "waiting")
        assert "running" in ask("runs").out
        refused = ask("run", "loop.json")
        assert (refused.code, refused.err.count("\n")) == (2, 1)
        assert "in use by rungraph run" in refused.err
        process.kill()
    with serving(folder, tools=["tools.py"], what=("engine",)), begun(folder, "logs", "-f", run_id) as following:
        read_until(following.stdout, "taken over")
        refused = ask("demo")
        assert (refused.code, refused.err.count("\n")) == (2, 1)
        assert "in use by engine" in refused.err
        (folder / "go").touch()
        out, err = following.communicate(timeout=60)
        assert ("completed after step 1" in out, err, following.returncode) == (True, "", 0)


@contextmanager
def stranger() -> Iterator[str]:
    """The address of an HTTP server that is none of ours."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_an_owner_that_answers_nothing_of_use_is_one_clear_line(folder: Path, ask: Ask) -> None:
    database = Sqlite.at(str(folder / "rungraph.db"))
    with stranger() as address:
        for owner, says in ((address, "none of Rungraph's"), ("http://127.0.0.1:1", "does not answer")):
            ownership = database.own(owner)
            said = ask("runs")
            ownership.release()
            assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
            assert owner in said.err
            assert says in said.err


async def queue_runs(database: Sqlite, count: int) -> list[str]:
    """The ids of `count` runs, the newest first."""
    store = Store(database, server_id="one", address="", lease_s=15)
    store.open()
    graph = read_graph({"name": "x" * 50 + "\n", "start_node": "a", "nodes": {"a": "add"}}, ["add"])
    await store.graphs.add(graph, within_s=60)
    ids = [str(uuid.UUID(int=(number << 80) | (7 << 76) | (2 << 62))) for number in range(1, count + 1)]
    state = State.of({}, 100)
    await asyncio.gather(*(store.runs.start(Start(each, graph.id, state, {}), None, within_s=60) for each in ids))
    await store.close()
    return ids[::-1]


async def test_more_runs_than_a_page_holds_are_listed_the_newest_first(folder: Path, ask: Ask) -> None:
    database = Sqlite.at(str(folder / "rungraph.db"))
    migrate(database)
    ids = await queue_runs(database, 2050)
    for limit, expected in ((None, 20), (1, 1), (1001, 1001), (3000, 2050)):
        options = [] if limit is None else ["--limit", str(limit)]
        # On a thread: a command has an event loop of its own.
        rows = (await asyncio.to_thread(ask, "runs", *options)).out.splitlines()[1:]
        assert [row.split()[0] for row in rows] == ids[:expected]
    assert rows[0].split()[1:] == ["x" * 31 + "…", "queued", "0", "a", "-", "-"]


def test_on_postgresql(folder: Path, ask: Ask, postgres: Databases) -> None:
    url = postgres.empty()
    try:
        missing = ask("runs", "--database-url", url)
        assert (missing.code, missing.err.count("\n")) == (2, 1)
        with psycopg.connect(url) as connection:
            tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
            assert connection.execute(tables).fetchall() == [(0,)], "it was only looked at"
        with serving(folder, tools=["tools.py"], RUNGRAPH_DATABASE_URL=url):
            done = rungraph(
                folder, "run", "loop.json", "--state", '{"n": 1}', "--tools", "tools.py", RUNGRAPH_DATABASE_URL=url
            )
            assert (done.returncode, done.stderr) == (0, "")
            run_id = done.stdout.split()[1]
            assert ask("runs", "--database-url", url).out.splitlines()[1].split()[:3] == [run_id, "loop", "completed"]
            logged = ask("logs", "-f", run_id, "--database-url", url)
            assert logged.code == 0
            assert [line[11:23] for line in logged.out.splitlines()] == [
                line[:12] for line in done.stdout.splitlines()[1:-1]
            ]
        with begun(folder, "run", "wait.json", "--tools", "tools.py", RUNGRAPH_DATABASE_URL=url) as process:
            run_id = read_until(process.stdout, "run ").split()[1]
            read_until(process.stdout, "waiting")
            with begun(folder, "logs", run_id, "-f", RUNGRAPH_DATABASE_URL=url) as following:
                read_until(following.stdout, "waiting")
                (folder / "go").touch()
                assert "completed after step 1" in following.communicate(timeout=60)[0]
            assert process.wait(30) == 0
    finally:
        postgres.drop(url)
