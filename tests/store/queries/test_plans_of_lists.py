"""The queries of lists and details search an index on SQLite, with statistics as well as without."""

from __future__ import annotations

from typing import Any

import pytest

from service.core.run import Level, WaitKind
from service.store.database.sqlite.connections import Sqlite
from service.store.queries.graphs import latest_named
from service.store.queries.runs import keys, mailbox, steps
from service.store.queries.runs import listing as run_list
from service.store.queries.runs import path as run_path
from service.store.queries.runs.filter import (
    Rare,
    RunFilter,
    count_of_graphs,
    count_of_prefix,
    graphs_named,
    matching,
    tagged_count,
)
from service.store.queries.runs.lines import LineFilter, lines_found
from service.store.schema.models import log_lines
from tests.support.store.plans import assert_in_order, assert_searches


@pytest.fixture
def database(file: Sqlite) -> Sqlite:
    return file


BY_STATUS = "runs_newest_by_status (status=?"
BY_GRAPH = "runs_newest_by_graph (graph_id=?"


@pytest.mark.parametrize(
    ("which", "graph_ids", "index"),
    [
        (RunFilter(("queued",)), None, BY_STATUS),
        (RunFilter(("queued", "failed"), tags=("k:v",)), ("g",), BY_STATUS),
        (RunFilter(("completed", "failed")), None, BY_STATUS),
        (RunFilter(waiting_for=WaitKind.SIGNAL), None, BY_STATUS),
        (RunFilter(), ("g",), BY_GRAPH),
        (RunFilter(("completed",), without_tags=("k:v",)), ("g", "h"), BY_GRAPH),
        (RunFilter(("completed",), tags=("k:v", "l:w")), ("g",), "PRIMARY KEY (tag=?"),
        (RunFilter(parent_id="r"), None, "runs_children (parent_id=?"),
        (RunFilter(("failed",), forked_from="r"), None, "runs_forks (forked_from_id=?"),
        (RunFilter(("failed",), id_prefix="0190b0a4-2"), None, "sqlite_autoindex_runs_1 (id>? AND id<?"),
    ],
    ids=repr,
)
def test_each_filter_is_led_by_its_index(database: Sqlite, which: RunFilter, graph_ids: Any, index: str) -> None:
    query = matching(which, "sqlite", 101, graph_ids=graph_ids)
    assert_searches(database, query, index)


@pytest.mark.parametrize(
    ("which", "rare", "index"),
    [
        (RunFilter(("failed",), tags=("k:v", "l:w")), Rare.TAG, "PRIMARY KEY (tag=?"),
        (RunFilter(("failed",), tags=("k:v",)), Rare.GRAPH, BY_GRAPH),
        (
            RunFilter(("failed",), tags=("k:v",), id_prefix="0190"),
            Rare.PREFIX,
            "sqlite_autoindex_runs_1 (id>? AND id<?",
        ),
    ],
    ids=repr,
)
def test_a_rare_filter_leads(database: Sqlite, which: RunFilter, rare: Rare, index: str) -> None:
    assert_searches(database, matching(which, "sqlite", 101, graph_ids=("g",), rare=rare), index)


def test_runs_are_counted_in_indexes(database: Sqlite) -> None:
    assert_searches(database, tagged_count("k:v", "sqlite"), "run_tags USING PRIMARY KEY (tag=?")
    assert_searches(database, count_of_graphs(["g", "h"]), f"COVERING INDEX {BY_GRAPH}")
    assert_searches(database, count_of_prefix("0190"), "COVERING INDEX sqlite_autoindex_runs_1 (id>? AND id<?")


@pytest.mark.parametrize("which", [RunFilter(), RunFilter(is_child=False), RunFilter(id_prefix="0190")], ids=repr)
def test_what_no_index_leads_is_read_in_order(database: Sqlite, which: RunFilter) -> None:
    assert_in_order(database, matching(which, "sqlite", 101))


def test_graphs_are_found_by_name(database: Sqlite) -> None:
    assert_searches(database, graphs_named("g"), "graphs_by_name (<expr>=?)")
    assert_searches(database, latest_named("g"), "graphs_latest (<expr>=?)")


@pytest.mark.parametrize(
    "query",
    [
        run_list.SIZES_OF_LISTED,
        run_list.LISTED["sqlite"],
        run_path.FAILURES_BY_NODE,
        keys.KEYS_WRITTEN["sqlite"],
        keys.SIZES_OF_VALUES,
        keys.VALUES_OF_KEY,
        mailbox.SIGNALS_OF_RUN["sqlite"],
        steps.numbers_of("a", is_newest_first=True),
        steps.SNAPSHOTS_OF_STEPS,
        steps.ATTEMPTS_OF_STEPS,
        steps.CHANGES_OF_STEPS,
        lines_found(LineFilter(0, 100, Level.WARNING, "a", "x"), "sqlite", log_lines),
    ],
    ids=lambda query: str(query)[:40].replace("\n", " "),
)
def test_details_are_searches(database: Sqlite, query: Any) -> None:
    assert_searches(database, query)


def test_the_path_searches_the_steps_of_its_run(database: Sqlite) -> None:
    assert_searches(
        database, run_path.STEPS_BY_EDGE["sqlite"], "SEARCH snapshots USING PRIMARY KEY (run_id=? AND step>?)"
    )
