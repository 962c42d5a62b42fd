"""The views are as documented, alike on both databases, and agree with the API; the recipes run on both."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from service.store.schema.views import VIEWS
from tests.support.docs.blocks import Block, blocks_of, table_after
from tests.support.docs.preparing import PAGES
from tests.support.docs.world import Rows, copy, in_postgres, in_sqlite, make_runs
from tests.support.postgres import Databases
from tests.support.system.process import Server

PAGE = "docs/sql.md"
NAMES = sorted(VIEWS["sqlite"])
GOING_ON = ("duration_s", "still_s", "oldest_s")
"""Columns that grow from one query to the next."""
RECIPES = [block for block in blocks_of(PAGE) if block.language == "sql"]


class World(NamedTuple):
    server: Server
    ids: dict[str, str]
    file: Path
    """The database of the server as it was when its rows were copied."""
    postgres_url: str

    def ask(self, query: str) -> list[dict[str, Any]]:
        names, rows = in_sqlite(self.server.database, query)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def get(self, path: str) -> Any:
        return self.server.call("GET", path).json()


@pytest.fixture(scope="module")
def world(server: Server, postgres: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    ids = make_runs(server)
    url = postgres.migrated()
    still = tmp_path_factory.mktemp("world") / "rungraph.db"
    copy(server.database, still, url)
    yield World(server, ids, still, url)
    postgres.drop(url)


def settled(names: list[str], rows: Rows) -> Rows:
    """The rows without what grows, and rounded where a database computes with binary fractions."""
    kept = [index for index, name in enumerate(names) if name not in GOING_ON]
    return [tuple(_rounded(row[index]) for index in kept) for row in rows]


def _rounded(value: Any) -> Any:
    # A mean may lie halfway between two numbers of fewer decimals, and each database may round it in its own way.
    return round(value, 6) if isinstance(value, float) else value


@pytest.mark.parametrize("name", NAMES)
def test_a_view_has_the_documented_columns_on_both_databases(world: World, name: str) -> None:
    documented = [row[0].strip("`") for row in table_after(PAGE, f"### {name}")]
    query = f"SELECT * FROM {name} ORDER BY 1, 2"
    columns, rows = in_sqlite(world.file, query)
    other_columns, other_rows = in_postgres(world.postgres_url, query)
    assert columns == documented == other_columns
    assert rows
    assert sorted(settled(columns, rows), key=repr) == sorted(settled(columns, other_rows), key=repr)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.place)
def test_a_recipe_answers_alike_on_both_databases(world: World, recipe: Block) -> None:
    query = recipe.text.replace("RUN_ID", world.ids["ordered"]).replace("3600", "0")
    columns, rows = in_sqlite(world.file, query)
    other_columns, other_rows = in_postgres(world.postgres_url, query)
    assert columns == other_columns
    assert rows
    assert sorted(settled(columns, rows), key=repr) == sorted(settled(columns, other_rows), key=repr)


@pytest.mark.parametrize("page", [page for page in PAGES if page != PAGE])
def test_sql_of_other_pages_runs_on_both_databases(world: World, page: str) -> None:
    for query in (block.text for block in blocks_of(page) if block.language == "sql"):
        assert in_sqlite(world.file, query)[0] == in_postgres(world.postgres_url, query)[0]


def test_there_are_twelve_recipes_and_more() -> None:
    assert len(RECIPES) >= 12


def test_steps_decisions_attempts_and_changes_are_those_of_the_api(world: World) -> None:
    for run_id in world.ids.values():
        where = f"WHERE run_id = '{run_id}'"
        steps = world.get(f"/runs/{run_id}/steps?limit=1000")["items"]
        found = world.ask(f"SELECT * FROM v_steps {where} ORDER BY step")
        expected = [(step["step"], step["node"], step["decision"]["to"], step["duration_ms"]) for step in steps]
        assert [(row["step"], row["node"], row["went_to"], row["duration_ms"]) for row in found] == expected

        asked = [(step["step"], *edge_of(edge)) for step in steps for edge in step["decision"]["evaluated"]]
        decided = world.ask(f"SELECT * FROM v_decisions {where} ORDER BY step, number")
        assert [(row["step"], *decision_of(row)) for row in decided if row["omitted"] is None] == [
            edge for edge, row in zip(asked, decided, strict=True) if row["omitted"] is None
        ]

        tried = [(step["step"], *attempt_of(attempt)) for step in steps for attempt in step["attempts"]]
        committed = {step["step"] for step in steps if step["decision"]["reason"] != "patch"}
        attempts = world.ask(f"SELECT * FROM v_attempts {where} ORDER BY step, attempt")
        columns = ("step", "attempt", "error_type", "started_at", "finished_at")
        assert [tuple(row[name] for name in columns) for row in attempts if row["step"] in committed] == tried

        changes = world.ask(f"SELECT * FROM v_changes {where} AND step > 0")
        set_to = {(row["step"], row["key"]): json.loads(row["value"]) for row in changes if not row["removed"]}
        unset = {(row["step"], row["key"]) for row in changes if row["removed"]}
        assert set_to == {(step["step"], k): v for step in steps for k, v in step["changes"]["set"].items()}
        assert unset == {(step["step"], key) for step in steps for key in step["changes"]["unset"]}


def edge_of(edge: dict[str, Any]) -> tuple[Any, ...]:
    return edge["to"], edge["condition"], int(edge["result"]), edge["operands"], edge.get("note")


def decision_of(row: dict[str, Any]) -> tuple[Any, ...]:
    condition = None if row["condition"] is None else json.loads(row["condition"])
    return row["target"], condition, row["result"], json.loads(row["operands"]), row["note"]


def attempt_of(attempt: dict[str, Any]) -> tuple[Any, ...]:
    error = attempt["error"] and attempt["error"]["type"]
    return attempt["attempt"], error, attempt["started_at"], attempt["finished_at"]


def test_runs_states_lines_and_tags_are_those_of_the_api(world: World) -> None:
    for run_id in world.ids.values():
        run = world.get(f"/graph/state/{run_id}")
        [row] = world.ask(f"SELECT * FROM v_runs WHERE run_id = '{run_id}'")
        for name in ("graph_id", "status", "step", "current_node", "created_at", "started_at", "finished_at"):
            assert row[name] == run[name]
        assert row["error_type"] == (run["error"] and run["error"]["type"])
        assert row["forked_from_id"] == (run["forked_from"] and run["forked_from"]["run_id"])
        tags = world.ask(f"SELECT * FROM v_tags WHERE run_id = '{run_id}'")
        assert {tag["key"]: tag["value"] for tag in tags} == run["tags"]
        for step in (0, run["step"]):
            [state] = world.ask(f"SELECT state FROM v_states WHERE run_id = '{run_id}' AND step = {step}")
            assert json.loads(state["state"]) == world.get(f"/runs/{run_id}/state?step={step}")["state"]
        lines = world.ask(f"SELECT * FROM v_lines WHERE run_id = '{run_id}' ORDER BY seq")
        assert [{**line, "run_id": None, "data": json.loads(line["data"])} for line in lines] == [
            {"run_id": None, **line} for line in run["logs"]
        ]


def test_waits_children_and_signals_are_those_of_the_api(world: World) -> None:
    for name, kind in {
        "tagged": "signal",
        "paused": "signal",
        "sleeping": "sleep",
        "backing off": "backoff",
        "waiting parent": "children",
    }.items():
        why = world.get(f"/runs/{world.ids[name]}/why")
        [row] = world.ask(f"SELECT * FROM v_waits WHERE run_id = '{world.ids[name]}'")
        assert row["kind"] == why["waiting_for"]["kind"] == kind
        assert (row["status"], row["due_at"]) == (why["status"], why.get("due_at"))
        assert row["signal"] == why["waiting_for"].get("name")
        assert row["open_children"] == why["waiting_for"].get("open")
    children = world.ask(f"SELECT * FROM v_children WHERE parent_id = '{world.ids['parent']}' ORDER BY number")
    assert [child["number"] for child in children] == [0, 1, 2, 3]
    for child in children:
        run = world.get(f"/graph/state/{child['run_id']}")
        assert run["parent"] == {"run_id": child["parent_id"], "step": child["parent_step"]}
        assert (run["status"], run["finished_at"]) == (child["status"], child["finished_at"])
    query = "SELECT name, payload, step FROM v_signals WHERE run_id = '{}'"
    assert world.ask(query.format(world.ids["ordered"])) == [
        {"name": "approval", "payload": '{"granted":false}', "step": 2}
    ]
    assert world.ask(query.format(world.ids["paused"])) == [
        {"name": "approval", "payload": '[1,{"a":null}]', "step": None}
    ]


def test_failed_attempts_have_the_node_at_which_they_were_made(world: World) -> None:
    for name, node in {"failed": "improve", "resumed": "improve", "cancelled": "a", "backing off": "a"}.items():
        failed = world.ask(f"SELECT node FROM v_attempts WHERE run_id = '{world.ids[name]}' AND error_type <> ''")
        assert [row["node"] for row in failed] == [node], name


def test_numbers_and_large_operands_stay_as_they_are(world: World) -> None:
    run_id = world.ids["mismatched"]
    [exact] = world.ask(f"SELECT value FROM v_changes WHERE run_id = '{run_id}' AND key = 'exact'")
    assert exact["value"] == "12345678901234567890123"
    first, *_ = world.ask(f"SELECT * FROM v_decisions WHERE run_id = '{run_id}' ORDER BY number")
    assert (first["omitted"], first["note"], first["result"]) == ('["big"]', "type_mismatch", 0)


@pytest.mark.parametrize("name", NAMES)
def test_a_view_of_one_run_reads_no_whole_table(world: World, name: str) -> None:
    column = {"v_children": "parent_id", "v_limits": "name", "v_schedules": "name"}.get(name, "run_id")
    _, plan = in_sqlite(world.file, f"EXPLAIN QUERY PLAN SELECT * FROM {name} WHERE {column} = 'x'")
    scans = [row[3] for row in plan if re.match(r"SCAN (?!k |e |t |keys|\(|point|CONSTANT)", row[3])]
    assert scans == []
