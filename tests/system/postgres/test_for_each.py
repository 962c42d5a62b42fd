"""A thousand children of one node: bounded in number, in order, and started once, whichever servers die meanwhile."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from tests.support.postgres import Databases
from tests.support.system.invariants import TOOLS, executions, query
from tests.support.system.process import Server, running, until
from tests.support.system.sharing import server_on

ITEMS, PARALLEL = 1000, 25
CHILD = {"start_node": "a", "nodes": {"a": "square"}}


def parent_of(graph_id: str) -> dict[str, Any]:
    node = {"graph": graph_id, "for_each": "items", "into": "squares", "input": ["by"], "max_parallel": PARALLEL}
    return {"start_node": "all", "nodes": {"all": node}}


def started(server: Server) -> str:
    graph_id = server.create(parent_of(server.create(CHILD)))
    return server.run(graph_id, items=list(range(ITEMS)), by=3)


def children_done(database: Any, count: int) -> bool:
    ((done,),) = query(database, "SELECT count(*) FROM runs WHERE parent_id IS NOT NULL AND status = 'completed'")
    return int(done) >= count


def check(database: Any, run: dict[str, Any]) -> None:
    """`run` is the parent, as the API shows it at its end."""
    assert run["status"] == "completed", run["error"]
    results = [(each["item"], each["index"], each["square"]) for each in run["state"]["squares"]]
    assert results == [(item, item, 3 * item * item) for item in range(ITEMS)]
    assert run["step"] == 1
    spans = query(
        database, f"SELECT created_at, finished_at, child_number FROM runs WHERE parent_id = '{run['run_id']}'"
    )
    assert sorted(number for _, _, number in spans) == list(range(ITEMS))
    # Where one ends and another begins at the same millisecond, the end came first: it made room.
    moments = sorted([(begun, 1) for begun, _, _ in spans] + [(ended, 0) for _, ended, _ in spans])
    at_once = max(accumulate(1 if begins else -1 for _, begins in moments))
    assert PARALLEL // 2 <= at_once <= PARALLEL
    assert query(database, "SELECT count(*) FROM waits") == [(0,)]


@pytest.mark.parametrize("kills", [2])
def test_the_server_is_killed_in_the_middle(tmp_path: Path, kills: int) -> None:
    server = Server(tmp_path, tools=[TOOLS]).start()
    run_id = started(server)
    for number in range(1, kills + 1):
        until(lambda least=number * 250: children_done(server.database, least))  # type: ignore[misc]
        server.kill()
        server.start()
    run = server.follow(run_id)
    check(server.database, run)
    server.kill()


def test_one_of_two_servers_is_killed_in_the_middle(postgres: Databases, tmp_path: Path) -> None:
    database = postgres.empty()
    one, two = (server_on(database, tmp_path, name) for name in ("one", "two"))
    with running(one, two):
        run_id = started(one)
        until(lambda: children_done(database, 400))
        one.kill()
        run = two.follow(run_id)
        check(database, run)
    assert {each.server for each in executions(tmp_path)} == {"one", "two"}
    postgres.drop(database)
