"""What is asked every second or at every event searches an index: due schedules, unfinished runs, due deliveries."""

from __future__ import annotations

import pytest

from service.store.commands.operations import deliveries, ticks
from service.store.database.sqlite.connections import Sqlite
from service.store.queries.operations.deliveries import DELIVERIES_AFTER
from service.store.queries.operations.schedules import SCHEDULE, SCHEDULES_AFTER, SIZES_AFTER
from service.store.rows.operations import deliveries as outbox
from service.store.rows.operations import schedules
from tests.support.store.plans import assert_in_order, assert_searches


@pytest.fixture
def database(file: Sqlite) -> Sqlite:
    return file


def test_what_is_due_is_searched_by_its_time(database: Sqlite) -> None:
    assert_searches(database, ticks._DUE, "SEARCH schedules USING INDEX schedules_due (due_at<?)")
    assert_in_order(database, ticks._DUE)
    assert_searches(database, ticks._NEXT, "SEARCH schedules USING COVERING INDEX schedules_due (due_at>?)")
    assert_searches(database, deliveries._DUE["sqlite"], "SEARCH d USING INDEX deliveries_due (due_at<?)")
    assert_searches(database, deliveries._NEXT, "SEARCH deliveries USING COVERING INDEX deliveries_due (due_at>?)")


def test_an_unfinished_run_of_a_schedule_is_searched_by_name_and_status(database: Sqlite) -> None:
    index = "runs_of_schedules (schedule_name=? AND status=?)"
    assert_searches(database, ticks._UNFINISHED, f"SEARCH runs USING COVERING INDEX {index}")


def test_a_graph_is_searched_by_its_name(database: Sqlite) -> None:
    assert_searches(database, schedules._LATEST_NAMED, "SEARCH graphs USING INDEX graphs_latest (<expr>=?)")


def test_a_change_of_status_searches_the_deliveries_of_its_run(database: Sqlite) -> None:
    for query in (outbox._TELLING, deliveries._WAKE_NEXT, deliveries._NOTE, deliveries._CLAIM, DELIVERIES_AFTER):
        assert_searches(database, query)


def test_lists_of_schedules_are_in_the_order_of_their_index(database: Sqlite) -> None:
    for query in (SCHEDULE, SCHEDULES_AFTER, SIZES_AFTER):
        assert_searches(database, query)
        assert_in_order(database, query)
