"""Every hot query searches an index: none reads a table from end to end, or sorts what it found."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from service.store.commands import control, side_effects, signals
from service.store.commands.commit import _ADVANCE, _REST, _STAY
from service.store.commands.leases.claim import _CLAIM
from service.store.commands.leases.due import _DUE, _DUE_OF_FAMILY, _NEXT
from service.store.commands.log_lines import _COUNT_UP
from service.store.database.sqlite.connections import Sqlite
from service.store.database.statements import ForRows, Statement
from service.store.queries import finished_children as child_queries
from service.store.queries import history
from service.store.queries import signals as signal_queries
from service.store.queries.history import _EVALUATED_BYTES
from service.store.queries.log_lines import BYTES_OF_LINES, LINES_AFTER, SIZES_OF_LINES
from service.store.queries.runs.filter import RunFilter
from service.store.queries.tail import LINES_TOGETHER
from service.store.rows import park_and_wake, visits
from service.store.rows.family import NEXT_OF_FAMILY
from service.store.rows.fence import RENEW
from service.store.rows.keys import _KEY
from service.store.rows.states import BYTES_BETWEEN, CHANGES_BETWEEN, STATE_AT
from tests.support.migrated import copy_to
from tests.support.store.carrying import single
from tests.support.store.filters import filter_of, query_of
from tests.support.store.harness import opened, sql, start
from tests.support.store.plans import assert_in_order, assert_searches, plans, text_of


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Some runs, which ANALYZE can count: the plans must hold with statistics as well as without."""
    database = Sqlite(tmp_path_factory.mktemp("filled") / "rungraph.db")
    copy_to(database.file)

    async def scenario() -> None:
        async with opened(database) as store:
            for number in range(20):
                await store.graphs.add(single("add", name=str(number)))
            for number in range(50):
                await start(store, f"{number}", tags={"t": str(number % 5)})
            await store.leases.claim(25)

    asyncio.run(scenario())
    return database.file.read_bytes()


@pytest.fixture
def database(filled: bytes, tmp_path: Path) -> Sqlite:
    database = Sqlite(tmp_path / "rungraph.db")
    database.file.write_bytes(filled)
    return database


def test_a_claim_searches_what_is_due(database: Sqlite) -> None:
    assert_searches(database, _DUE["sqlite"], "SEARCH runs USING INDEX runs_due (priority=? AND due_at<?)")
    assert_searches(database, _DUE["sqlite"], "SEARCH r USING COVERING INDEX runs_due (priority<?)")
    assert_in_order(database, _DUE["sqlite"])


def test_a_claim_of_a_family_begins_with_its_root_and_searches_the_children(database: Sqlite) -> None:
    child = "SEARCH child USING INDEX runs_children (parent_id=? AND status=?)"
    by_id = "SEARCH runs USING INDEX sqlite_autoindex_runs_1 (id=?)"
    for query in (_DUE_OF_FAMILY["sqlite"], NEXT_OF_FAMILY):
        assert_searches(database, query, by_id, child)
        # A filter is made of all children that there are.
        assert not any("BLOOM" in line for plan in plans(database, text_of(query)) for line in plan)


PARKED = """\
WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 100000)
INSERT INTO runs (id, graph_id, status, step, current_node, attempt, crashes, in_flight, last_seq, lease_token, tags,
    created_at, moved_at, due_at)
SELECT 'w' || n, (SELECT id FROM graphs), 'waiting', 1, 'a', 1, 0, 1, 3, 1, '{}', '2019', '2019',
    CASE WHEN n % 10 > 0 THEN '2040-01-01T00:00:00.000Z' END FROM n"""


def operations(connection: sqlite3.Connection, query: Statement, **parameters: Any) -> int:
    """How many instructions of SQLite's machine it takes to answer."""
    count = 0

    def counting() -> int:
        nonlocal count
        count += 1
        return 0

    text, fixed = query.text("sqlite")
    connection.set_progress_handler(counting, 1)
    connection.execute(text, fixed | parameters).fetchall()
    connection.set_progress_handler(None, 1)
    return count


def test_a_claim_reads_nothing_of_a_hundred_thousand_parked_runs(database: Sqlite) -> None:
    due = {"now": "2039-01-01T00:00:00.000Z", "count": 20}
    soon = {"now": due["now"], "soon": "2039-01-01T00:00:01.000Z"}
    with sql(database) as connection:
        before = [operations(connection, _DUE["sqlite"], **due), operations(connection, _NEXT, **soon)]
        connection.execute("BEGIN")
        connection.execute(PARKED)
        connection.execute("COMMIT")
        for _ in range(2):
            assert [operations(connection, _DUE["sqlite"], **due), operations(connection, _NEXT, **soon)] <= [
                count + 20 for count in before
            ]
            connection.execute("ANALYZE")
    assert before[0] < 2000


@pytest.mark.parametrize("statement", [_CLAIM, RENEW, _ADVANCE, _STAY, _REST, _COUNT_UP])
def test_whatever_moves_a_run_finds_it_by_its_id(database: Sqlite, statement: Statement | ForRows) -> None:
    assert_searches(database, statement, "SEARCH runs USING INDEX sqlite_autoindex_runs_1 (id=?)")


def test_a_state_is_a_search_per_key(database: Sqlite) -> None:
    assert_searches(
        database,
        STATE_AT["sqlite"],
        "SEARCH changes USING PRIMARY KEY (run_id=? AND key=? AND step=?)",
        "SEARCH latest USING PRIMARY KEY (run_id=? AND key=? AND step<?)",
        "SEARCH after USING PRIMARY KEY (run_id=? AND key>?)",
    )


@pytest.mark.parametrize("query", [CHANGES_BETWEEN, BYTES_BETWEEN])
def test_what_steps_changed_is_a_search_per_key(database: Sqlite, query: Any) -> None:
    assert_searches(database, query, "SEARCH changes USING PRIMARY KEY (run_id=? AND key=? AND step>? AND step<?)")


def test_decisions_are_found_by_run_and_step(database: Sqlite) -> None:
    assert_searches(database, _EVALUATED_BYTES, "SEARCH snapshots USING PRIMARY KEY (run_id=? AND step>? AND step<?)")


def test_the_state_view_is_a_search_per_key_as_well(database: Sqlite) -> None:
    query = "SELECT state FROM v_states WHERE run_id = :run_id AND step = :step"
    for plan in plans(database, query):
        assert any(line.startswith("SEARCH l USING PRIMARY KEY (run_id=? AND key=? AND step<?)") for line in plan), plan
        assert not any(re.match(r"SCAN (c|l|changes|snapshots|runs)\b", line) for line in plan), plan


def test_lines_are_read_in_the_order_of_their_key(database: Sqlite) -> None:
    query = LINES_AFTER
    assert_searches(database, query, "SEARCH log_lines USING PRIMARY KEY (run_id=? AND seq>?)")
    assert_in_order(database, query)


@pytest.mark.parametrize("query", [BYTES_OF_LINES, SIZES_OF_LINES])
def test_lines_are_measured_by_their_key(database: Sqlite, query: Any) -> None:
    assert_searches(database, query, "SEARCH log_lines USING PRIMARY KEY (run_id=? AND seq>? AND seq<?)")


def test_lines_of_many_runs_are_a_search_per_run(database: Sqlite) -> None:
    for plan in plans(database, text_of(LINES_TOGETHER["sqlite"]).replace(":asked", "'[]'")):
        assert any("USING INDEX sqlite_autoindex_runs_1 (id=?)" in line for line in plan), plan
        assert any("SEARCH l USING PRIMARY KEY (run_id=? AND seq>? AND seq<?)" in line for line in plan), plan
        assert not any(re.match(r"SCAN (r|l)\b", line) for line in plan), plan


def test_an_idempotency_key_is_looked_up(database: Sqlite) -> None:
    assert_searches(database, _KEY, "SEARCH idempotency_keys USING PRIMARY KEY (scope=? AND key=?)")


@pytest.mark.parametrize("after", [None, ("2030-01-01T00:00:00.000Z", "r")], ids=["first", "next"])
@pytest.mark.parametrize(
    "which", [filter_of(*values) for values in product((None, "queued"), (None, "g"), (None, "t:1"))], ids=repr
)
def test_a_page_of_runs_is_read_in_the_order_of_an_index(database: Sqlite, which: RunFilter, after: Any) -> None:
    query = query_of(which, after, 11, "sqlite")
    assert_in_order(database, query)
    for plan in plans(database, text_of(query)):
        if which == filter_of():
            # Without a filter the newest are the end of the index, read backwards as far as the limit.
            assert plan[0].endswith(
                "USING COVERING INDEX runs_newest" + ("" if after is None else " ((created_at,id)<(?,?))")
            )
        else:
            assert not any(line.startswith("SCAN") for line in plan), plan


OF_RUN = "SEARCH runs USING INDEX sqlite_autoindex_runs_1 (id=?)"
OF_CHILDREN = "INDEX runs_children (parent_id=? AND status=? AND parent_step=? AND parent_attempt=?"
OF_SIGNAL = "SEARCH signals USING INDEX sqlite_autoindex_signals_1 (run_id=? AND number=?)"
BY_RUN = "USING PRIMARY KEY (run_id=?"

CONTROL: dict[str, tuple[Any, tuple[str, ...]]] = {
    "what is due next": (_NEXT, ("SEARCH r USING COVERING INDEX runs_due (priority=? AND due_at>? AND due_at<?)",)),
    "visits of claimed runs": (visits._COUNTED, (f"SEARCH visits {BY_RUN}",)),
    "waits of claimed runs": (park_and_wake._WAITS_OF, (f"SEARCH waits {BY_RUN}",)),
    "forget a wait": (park_and_wake._DELETE, (f"SEARCH waits {BY_RUN}",)),
    "wake": (
        park_and_wake._WAKE,
        (OF_RUN, f"SEARCH waits {BY_RUN}", "INDEX signals_waiting (run_id=?", f"SEARCH child USING {OF_CHILDREN}"),
    ),
    "status": (signals._STATUS, (OF_RUN,)),
    "signals that wait": (signals._WAITING, ("INDEX signals_waiting (run_id=?)",)),
    "the last signal": (signals._LAST_NUMBER, ("COVERING INDEX sqlite_autoindex_signals_1 (run_id=?)",)),
    "a signal": (signals._GET, (OF_SIGNAL,)),
    "the oldest signal": (signal_queries._OLDEST, ("INDEX signals_waiting (run_id=?)",)),
    "consume": (side_effects._CONSUME, (OF_SIGNAL,)),
    "count children": (child_queries._COUNTED, (OF_CHILDREN,)),
    "some children": (child_queries._COMPLETED, (f"{OF_CHILDREN} AND child_number>? AND child_number<?)",)),
    "lock": (control._LOCKED, (OF_RUN,)),
    "parent": (control._PARENT, (OF_RUN,)),
    "places": (control._NODES, (OF_RUN,)),
    "cancel": (control._CANCEL, (OF_RUN,)),
    "open children": (control._OPEN_CHILDREN, ("INDEX runs_children (parent_id=? AND status=?)",)),
    "ask to pause": (control._ASK_TO_PAUSE, (OF_RUN,)),
    "pause": (control._PAUSE, (OF_RUN,)),
    "resume": (control._RESUME, (OF_RUN,)),
    "limit": (control._LIMIT, (OF_RUN,)),
    "wait": (control._WAIT, (f"SEARCH waits {BY_RUN}",)),
    "visits": (visits._COUNTED_AT, (f"SEARCH visits {BY_RUN} AND node=?)", OF_RUN)),
    "forget visits": (visits._DELETE, (f"SEARCH visits {BY_RUN} AND node=?)",)),
    "has said": (control._RESUMED_LINE, (f"SEARCH log_lines {BY_RUN} AND seq=?)",)),
    "count of open": (history._COUNT_OF_OPEN, (OF_CHILDREN,)),
    "last pause": (history._LAST_PAUSE, (f"SEARCH log_lines {BY_RUN} AND seq=?)",)),
    "went to": (history._WENT_TO, (f"SEARCH snapshots {BY_RUN} AND step=?)",)),
    "beginning": (history._BEGINNING, (f"SEARCH snapshots {BY_RUN} AND step=?)",)),
}


@pytest.mark.parametrize("name", CONTROL)
def test_what_control_asks_is_found_by_run(database: Sqlite, name: str) -> None:
    query, expected = CONTROL[name]
    assert_searches(database, query, *expected)
    if name in ("the oldest signal", "some children"):
        assert_in_order(database, query)
