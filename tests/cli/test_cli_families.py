"""`rungraph run` of graphs with children, where no server executes them: the run's whole family, and nothing else."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.core.graph import Graph
from service.core.state import State
from service.core.validation import read_graph
from service.store import Store
from service.store.commands.start import Start
from service.store.database.opening import database_at
from service.store.database.protocol import Database
from service.store.schema.migrate import migrate
from tests.support.postgres import Databases
from tests.support.store.harness import ask
from tests.support.system.commands import begun, read_until, rungraph
from tests.support.system.process import serving

STRANGER = "01a2085a-6520-7f0b-a2ba-dec519ecdd13"


def graph(node: Any, **more: Any) -> Graph:
    """A graph of one node."""
    return read_graph({"start_node": "a", "nodes": {"a": node}, **more}, ["bump", "fail"])


LEAF = graph("bump")
NAP = graph({"sleep": 0.1})
APPROVAL = graph({"signal": "go/on"})
MIDDLE = graph({"graph": LEAF.id, "for_each": "item", "into": "got", "input": ["n"], "max_parallel": 2})
BROKEN = graph("fail")
CAUGHT = {
    "start_node": "a",
    "nodes": {
        "a": {"graph": MIDDLE.id, "for_each": "lists", "into": "nested", "input": ["n"]},
        "b": {"graph": NAP.id, "into": "slept", "input": []},
        "c": {"graph": BROKEN.id, "into": "never"},
        "d": "bump",
    },
    "edges": {"a": "b", "b": "c", "c": {"to": "d", "on_error": ["child_failed"]}},
}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """A database with the graphs of children, and a stranger's run that is queued."""
    postgres: Databases | None = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    made = f"sqlite:///{folder / 'rungraph.db'}" if postgres is None else postgres.empty()
    database = database_at(made)
    migrate(database)
    asyncio.run(prepare(database))
    yield made
    if postgres is not None:
        postgres.drop(made)


async def prepare(database: Database) -> None:
    store = Store(database, server_id="one", address="", lease_s=15)
    store.open()
    for each in (LEAF, NAP, APPROVAL, MIDDLE, BROKEN):
        await store.graphs.add(each)
    await store.runs.start(Start(STRANGER, LEAF.id, State.of({"n": 0}, 100), {}))
    await store.close()


def runs_of(url: str) -> dict[str, tuple[str, str | None]]:
    """Status and lease of every run but the stranger's, which nobody has touched."""
    rows = {run_id: tuple(row) for run_id, *row in ask(database_at(url), "SELECT id, status, lease_owner FROM runs")}
    assert rows.pop(STRANGER) == ("queued", None)
    return rows


def test_children_and_theirs_are_executed_to_the_end(folder: Path, url: str) -> None:
    (folder / "family.json").write_text(json.dumps(CAUGHT))
    state = {"n": 1, "lists": [[1, 2, 3], [], [4]]}
    given = ("--state", json.dumps(state), "--tools", "tools.py", "--database-url", url)
    done = rungraph(folder, "run", "family.json", *given)
    # On a busy machine the command tells for what it waits.
    assert (done.returncode, [line for line in done.stderr.splitlines() if " sleeps until " not in line]) == (0, [])
    run_id = done.stdout.split()[1]
    rows = runs_of(url)
    assert rows.pop(run_id) == ("completed", None)
    assert sorted(rows.values()) == sorted([("completed", None)] * (3 + 4 + 1) + [("failed", None)])
    [(failed,)] = ask(database_at(url), "SELECT id FROM runs WHERE status = 'failed'")
    assert f"child_failed: child 0 failed (run {failed}): tool_error: ValueError: this is broken" in done.stdout


def test_what_a_child_waits_for_is_told_and_nothing_is_left_leased(folder: Path, url: str) -> None:
    (folder / "family.json").write_text(json.dumps(graph({"graph": APPROVAL.id, "into": "o"}).document()))
    given = ("--tools", "tools.py", "--database-url", url)
    with begun(folder, "run", "family.json", *given) as process:
        run_id = read_until(process.stdout, "run ").split()[1]
        told = read_until(process.stderr, "waits for the signal 'go/on'")
        [(child,)] = ask(database_at(url), "SELECT id FROM runs WHERE parent_id = ?", run_id)
        assert f"run {child}, a child below {run_id}," in told
        assert f"POST /runs/{child}/signals/go%2Fon" in told
        assert "rungraph serve --tools tools.py" in told
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30)[1].count("\n") == 1
        assert process.returncode == 130
    assert runs_of(url) == {run_id: ("waiting", None), child: ("waiting", None)}


async def test_a_family_of_a_command_that_was_killed_goes_on_under_a_server(folder: Path) -> None:
    """And a server on the same PostgreSQL need not wait for that: see `test_family.py` of the store."""
    database = database_at(f"sqlite:///{folder / 'rungraph.db'}")
    migrate(database)
    await prepare(database)
    waiting = read_graph({"start_node": "a", "nodes": {"a": "wait"}}, ["wait"])
    parent = {"start_node": "a", "nodes": {"a": {"graph": waiting.id, "for_each": "x", "into": "o", "max_parallel": 2}}}
    (folder / "family.json").write_text(json.dumps(parent))
    (folder / "go").touch()
    rungraph(folder, "run", "wait.json", "--tools", "tools.py")
    (folder / "go").unlink()
    with begun(folder, "run", "family.json", "--state", '{"x": [1, 2, 3]}', "--tools", "tools.py") as process:
        run_id = read_until(process.stdout, "run ").split()[1]
        read_until(process.stdout, "waits for its children")
        process.kill()
    (folder / "go").touch()
    with serving(folder, tools=["tools.py"]) as server:
        assert server.follow(run_id)["status"] == "completed"
