"""Hot statements cost the same however much lies in the tables: 200,000 finished runs, and what they wrote."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count, product
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Executable
from sqlalchemy.dialects import postgresql

from service.core import codec
from service.store.commands import control, side_effects, signals
from service.store.commands.commit import _ADVANCE, _COMMITTED, _REST, _STAY
from service.store.commands.leases.claim import _CLAIM, _LOCKED
from service.store.commands.leases.due import _DUE, _DUE_OF_FAMILY, _NEXT
from service.store.commands.leases.lease import _BEGIN, _RELEASE, _RENEW_ALL, _STILL_HELD_OF
from service.store.commands.log_lines import _COUNT_UP, _LAST_SEQ
from service.store.database.opening import database_at
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
from service.store.rows.runs import _START_NODE
from service.store.rows.states import (
    BYTES_BETWEEN,
    CHANGES_BETWEEN,
    OWN_BYTES_BETWEEN,
    OWN_CHANGES_BETWEEN,
    OWN_STATE_AT,
    STATE_AT,
    VALUE_AT,
)
from tests.support.postgres import Databases
from tests.support.store.filters import filter_of, query_of
from tests.support.store.harness import COUNTER, opened, start_of

DIALECT = postgresql.dialect(paramstyle="pyformat")  # type: ignore[no-untyped-call]  # untyped there
SHARED = {"runs_pkey", "shared_values_pkey"}
COUNT = count()
DUE = 300
BATCH = 100

FINISHED = """\
INSERT INTO runs (id, graph_id, status, step, attempt, crashes, in_flight, last_seq, lease_token, tags, created_at,
    started_at, moved_at, finished_at)
SELECT 'f' || n, (SELECT id FROM graphs), 'completed', 1, 1, 0, 1, 3, 1, '{}', t, t, t, t
FROM (SELECT n, timestamptz '2020-01-01' + n * interval '1 s' AS t FROM generate_series(1, 100000) AS n) AS made"""

# Some of them wait for a time that is far away, the others for a signal.
PARKED = """\
INSERT INTO runs (id, graph_id, status, step, current_node, attempt, crashes, in_flight, last_seq, lease_token, tags,
    created_at, started_at, moved_at, due_at)
SELECT 'w' || n, (SELECT id FROM graphs), 'waiting', 1, 'a', 1, 0, 1, 3, 1, '{}', t, t, t,
    CASE WHEN n % 10 > 0 THEN timestamptz '2040-01-01' + n * interval '1 s' END
FROM (SELECT n, timestamptz '2019-01-01' + n * interval '1 s' AS t FROM generate_series(1, 20000) AS n) AS made"""

FAILED = """\
INSERT INTO runs (id, graph_id, status, step, current_node, attempt, crashes, in_flight, last_seq, lease_token, tags,
    created_at, moved_at, finished_at, error)
SELECT 'x' || n, (SELECT id FROM graphs), CASE WHEN n % 2 = 0 THEN 'failed' ELSE 'cancelled' END, 1,
    CASE WHEN n % 2 = 0 THEN 'a' END, 1, 0, 0, 3, 1, '{}', '2018-01-01', '2018-01-01', '2018-01-01',
    CASE WHEN n % 2 = 0 THEN '{}' END FROM generate_series(1, 5000) AS n"""

CHILDREN = """\
INSERT INTO runs (id, graph_id, status, step, current_node, attempt, crashes, in_flight, last_seq, lease_token, tags,
    created_at, moved_at, finished_at, due_at, parent_id, parent_step, parent_attempt, child_number, depth)
SELECT 'c' || n, (SELECT id FROM graphs), CASE WHEN n < 49000 THEN 'completed' ELSE 'paused' END, 0,
    CASE WHEN n < 49000 THEN NULL ELSE 'a' END, 1, 0, 0, 0, 0, '{}',
    '2019-01-01', '2019-01-01', CASE WHEN n < 49000 THEN timestamptz '2019-01-01' END, NULL,
    'w' || n / 100, 2, 1, n % 100, 1 FROM generate_series(0, 49999) AS n"""

# 500 of them with 100 steps each.
WRITTEN = (
    "INSERT INTO changes SELECT 'f' || n % 500, k, n / 500, '1', 0 FROM generate_series(0, 49999) AS n,"
    " unnest(ARRAY['a', 'b']) AS k",
    "INSERT INTO log_lines SELECT 'f' || n % 500, 1 + n / 500, now(), 'info', 'log', 'a', 1, 1, '', '{}'"
    " FROM generate_series(0, 99999) AS n",
    "INSERT INTO snapshots SELECT 'f' || n % 500, 1 + n / 500, 'a', 1, 1, 'a', 'condition', '[]', 0, now(), now(), 1.0"
    " FROM generate_series(0, 49999) AS n",
    "INSERT INTO idempotency_keys SELECT 's', 'k' || n, 'digest', 'f' || n FROM generate_series(1, 50000) AS n",
    "INSERT INTO run_tags SELECT 't:' || id % 5, created_at, 'f' || id FROM"
    " (SELECT n AS id, timestamptz '2020-01-01' + n * interval '1 s' AS created_at"
    " FROM generate_series(1, 50000) AS n) AS made",
    "INSERT INTO waits SELECT id, CASE WHEN due_at IS NULL THEN 'signal' ELSE 'sleep' END,"
    " CASE WHEN due_at IS NULL THEN 'ok' END, created_at, due_at, NULL, NULL FROM runs WHERE status = 'waiting'",
    "INSERT INTO signals SELECT 'w' || n % 500, n / 500, 'ok', '1', now(), CASE WHEN n % 2 = 0 THEN 1 END"
    " FROM generate_series(0, 49999) AS n",
    "INSERT INTO shared_values SELECT 'w' || n % 500, n / 500, '1' FROM generate_series(0, 49999) AS n",
    "INSERT INTO visits SELECT 'w' || n % 5000, 'n' || n / 5000, 1 FROM generate_series(0, 49999) AS n",
)

PARAMETERS: dict[str, Any] = dict.fromkeys(("now", "until", "started_at"), "2030-01-01")
PARAMETERS |= dict.fromkeys(("token", "attempt", "in_flight", "lines"), 1)
PARAMETERS |= dict.fromkeys(("soon", "ts"), "2030-01-02")
PARAMETERS |= dict.fromkeys(("failures", "patched", "asked", "parent_attempt", "next_attempt", "number", "limit"), 1)
PARAMETERS |= {"due_at": None, "due": "2030-01-01", "visited": "n1", "name": "ok", "by_step": 2, "parent_id": "w7"}
PARAMETERS |= {"parent_step": 2, "next_step": 2, "first": 0, "end": 100}
PARAMETERS |= dict.fromkeys(("crashes", "interrupted"), 0) | dict.fromkeys(("error", "finished_at"))
PARAMETERS |= {"run_id": "f7", "graph_id": COUNTER.id, "key": "a", "scope": "s", "node": "a", "server": "one"}
PARAMETERS |= {
    "step": 50,
    "step_before": 49,
    "after_step": 40,
    "last_step": 60,
    "seq": 5,
    "last_seq": 3,
    "after_seq": 1,
}
PARAMETERS |= {"status": "running", "count": BATCH, "tool": "ask"}


@pytest.fixture(scope="module")
def crowded(postgres: Databases) -> Iterator[psycopg.Connection[Any]]:
    url = postgres.migrated()

    async def scenario() -> None:
        async with opened(database_at(url)) as store:
            await store.graphs.add(COUNTER)
            await asyncio.gather(*(store.runs.start(start_of(f"due {number}")) for number in range(DUE)))
            await store.leases.claim(BATCH)

    asyncio.run(scenario())
    with psycopg.connect(url, autocommit=True) as session:
        _fill(session)
        yield session
    postgres.drop(url)


def _fill(session: psycopg.Connection[Any]) -> None:
    # Indexes are made afterwards, and foreign keys are not asked: only so it takes seconds.
    made = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'runs' AND indexname LIKE 'runs_newest%'"
    indexes = session.execute(made.encode()).fetchall()
    for name, _ in indexes:
        session.execute(f"DROP INDEX {name}".encode())
    session.execute("SET session_replication_role = replica")
    for text in (FINISHED, FAILED, PARKED, CHILDREN, *WRITTEN):
        session.execute(text.encode())
    session.execute("SET maintenance_work_mem = '256MB'")
    for _, definition in indexes:
        session.execute(definition.encode())
    session.execute("RESET session_replication_role")
    # Every row is looked at: of so few that are running a sample may show none, and another index look as good.
    session.execute("SET default_statistics_target = 1000")
    session.execute("VACUUM (ANALYZE)")


@dataclass(frozen=True, slots=True)
class Plan:
    """How PostgreSQL has executed a statement."""

    nodes: tuple[dict[str, Any], ...]

    @property
    def kinds(self) -> set[str]:
        return {node["Node Type"] for node in self.nodes}

    @property
    def indexes(self) -> set[str]:
        return {node["Index Name"] for node in self.nodes if "Index Name" in node}

    @property
    def blocks(self) -> int:
        """Read, from memory or disk, by the whole statement."""
        return int(self.nodes[0]["Shared Hit Blocks"] + self.nodes[0]["Shared Read Blocks"])

    @property
    def rows(self) -> int:
        return int(self.nodes[0]["Actual Rows"])


def text_of(query: Executable | Statement | ForRows) -> tuple[str, dict[str, Any]]:
    if isinstance(query, ForRows):
        return query.text("postgresql", None), {}
    if isinstance(query, Statement):
        return query.text("postgresql")
    compiled = query.compile(dialect=DIALECT, compile_kwargs={"render_postcompile": True})  # type: ignore[attr-defined]  # ClauseElement has it
    return str(compiled), {name: value for name, value in compiled.params.items() if value is not None}


def plans(session: psycopg.Connection[Any], query: Executable | Statement | ForRows, **given: Any) -> list[Plan]:
    """Made for these parameters, and made once for all: drivers prepare what they execute often."""
    text, fixed = text_of(query)
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", text)))
    for number, name in enumerate(names, 1):
        text = text.replace(f"%({name})s", f"${number}")
    parameters = {**PARAMETERS, **fixed, **given}
    # ForRows takes arrays, here of one.
    taken = {name: [parameters[name]] for name in names} if isinstance(query, ForRows) else parameters
    values = sql.SQL(", ").join(sql.Literal(taken[name]) for name in names)
    found = []
    asked = f"asked_{next(COUNT)}"
    for mode in ("force_custom_plan", "force_generic_plan"):
        with session.transaction(force_rollback=True):
            session.execute(f"SET LOCAL plan_cache_mode = {mode}".encode())
            session.execute(f"PREPARE {asked} AS {text}".encode())
            explain = sql.SQL("EXPLAIN (FORMAT JSON, ANALYZE, BUFFERS) EXECUTE {}").format(sql.Identifier(asked))
            explain += sql.SQL("({})").format(values)
            [[[explained]]] = session.execute(explain).fetchall()
            found.append(Plan(tuple(_nodes(explained["Plan"]))))
            session.execute(f"DEALLOCATE {asked}".encode())
    return found


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if node.get("Relation Name") == "deletions":
        return  # It holds few rows at most, and is read as a whole.
    yield node
    for below in node.get("Plans", ()):
        yield from _nodes(below)


def assert_no_scan(plan: Plan) -> None:
    assert not plan.kinds & {"Seq Scan", "Hash Join", "Bitmap Heap Scan"}, plan.nodes


def test_a_claim_reads_what_is_due_and_nothing_of_what_is_over_or_parked(
    crowded: psycopg.Connection[Any],
) -> None:
    for plan in plans(crowded, _DUE["postgresql"]):
        assert_no_scan(plan)
        assert not plan.kinds & {"Sort", "Incremental Sort"}
        assert plan.indexes == {"runs_due"}
        assert plan.rows == BATCH
        # Each run's row is read and locked; beyond that a few blocks of the index.
        assert plan.blocks < 10 * BATCH
    [[rows]] = crowded.execute("SELECT count(*) FROM runs").fetchall()
    assert rows == 100_000 + 5_000 + 20_000 + 50_000 + DUE
    [[size]] = crowded.execute("SELECT pg_relation_size('runs_due')").fetchall()
    assert size < 2**21  # One entry for each finished run would be 4 MB.


def test_what_is_due_next_is_one_entry_of_an_index(crowded: psycopg.Connection[Any]) -> None:
    for plan in plans(crowded, _NEXT, now="2040-01-01", soon="2040-01-02"):
        assert (plan.rows, plan.indexes) == (1, {"runs_due"})
        assert plan.blocks < 15


def test_a_claim_that_finds_nothing_reads_a_few_blocks(crowded: psycopg.Connection[Any]) -> None:
    for plan in plans(crowded, _DUE["postgresql"], now="2000-01-01"):
        assert (plan.rows, plan.indexes) == (0, {"runs_due"})
        assert plan.blocks < 15


@pytest.mark.parametrize("family", ["w7", "due 200"], ids=["with children", "without"])
def test_a_claim_of_a_family_reads_no_other_runs(crowded: psycopg.Connection[Any], family: str) -> None:
    """`w7` has a hundred children that are over; and there are 20,000 others that wait."""
    for query in (_DUE_OF_FAMILY["postgresql"], NEXT_OF_FAMILY):
        for plan in plans(crowded, query, family=family):
            assert "Seq Scan" not in plan.kinds, plan.nodes
            assert plan.indexes <= {"runs_pkey", "runs_children", "runs_due"}
            assert plan.blocks < 10 * DUE


@pytest.mark.parametrize(
    "statement",
    [
        *(_CLAIM, _LOCKED, _BEGIN, RENEW, _RELEASE, _ADVANCE, _STAY, _REST, _COMMITTED, _COUNT_UP, _LAST_SEQ),
        *(control._LOCKED, control._PARENT, control._NODES, control._CANCEL, control._ASK_TO_PAUSE, control._PAUSE),
        *(control._LIMIT, signals._STATUS),
    ],
)
def test_whatever_asks_for_or_moves_a_run_finds_it_by_its_id(
    crowded: psycopg.Connection[Any], statement: Statement | ForRows
) -> None:
    for plan in plans(crowded, statement, run_id="due 299", step=1, step_before=0, status="paused", due_at=None):
        assert_no_scan(plan)
        assert plan.indexes == {"runs_pkey"}
        assert plan.blocks < 100  # One row, and an entry in each index.


@pytest.mark.parametrize(
    ("query", "index", "blocks"),
    [
        *((_KEY, "idempotency_keys_pkey", 20), (_START_NODE, None, 20), (VALUE_AT, "changes_pkey", 20)),
        *((STATE_AT["postgresql"], "changes_pkey", 100), (CHANGES_BETWEEN, "changes_pkey", 200)),
        *((OWN_STATE_AT["postgresql"], "changes_pkey", 100), (OWN_CHANGES_BETWEEN, "changes_pkey", 200)),
        (OWN_BYTES_BETWEEN, "changes_pkey", 200),
        *((BYTES_BETWEEN, "changes_pkey", 200), (_EVALUATED_BYTES, "snapshots_pkey", 50)),
        (LINES_AFTER, "log_lines_pkey", 100),
        *((BYTES_OF_LINES, "log_lines_pkey", 100), (SIZES_OF_LINES, "log_lines_pkey", 100)),
    ],
    ids=[
        *("key", "graph", "value", "state", "changes", "own state", "own changes", "own sizes", "sizes", "decisions"),
        *("lines", "bytes of lines", "line sizes"),
    ],
)
def test_what_a_run_has_written_is_found_by_its_key(
    crowded: psycopg.Connection[Any], query: Any, index: str | None, blocks: int
) -> None:
    for plan in plans(crowded, query):
        assert plan.blocks < blocks
        if index is not None:  # A table of one row is read as it is.
            assert "Seq Scan" not in plan.kinds
            # Those of values that children share, which this run has none of, are not used.
            assert plan.indexes - SHARED == {index}


def test_lines_are_read_in_the_order_of_their_key(crowded: psycopg.Connection[Any]) -> None:
    for plan in plans(crowded, LINES_AFTER, after_seq=100, limit=50):
        assert plan.rows == 50
        assert not plan.kinds & {"Sort", "Incremental Sort"}


def test_lines_of_many_runs_are_a_search_per_run(crowded: psycopg.Connection[Any]) -> None:
    asked = codec.encode([[f"f{number}", 190] for number in range(1, 201)])
    for plan in plans(crowded, LINES_TOGETHER["postgresql"], asked=asked, limit=20):
        assert "Seq Scan" not in plan.kinds, plan.nodes
        assert plan.indexes == {"runs_pkey", "log_lines_pkey"}
        assert plan.rows == 200 * 10
        assert plan.blocks < 200 * 20


def test_the_state_view_is_a_search_per_key(crowded: psycopg.Connection[Any]) -> None:
    [[[explained]]] = crowded.execute(
        "EXPLAIN (FORMAT JSON, ANALYZE, BUFFERS) SELECT state FROM v_states WHERE run_id = 'f7' AND step = 50"
    ).fetchall()
    plan = Plan(tuple(_nodes(explained["Plan"])))
    assert "Seq Scan" not in plan.kinds
    assert plan.indexes == {"changes_pkey", "snapshots_pkey"} | SHARED
    assert (plan.rows, plan.blocks < 200) == (1, True)


@pytest.mark.parametrize("after", [None, (datetime(2020, 1, 2, tzinfo=UTC), "f7")], ids=["first", "next"])
@pytest.mark.parametrize(
    "which",
    [filter_of(*values) for values in product((None, "completed", "queued"), (None, COUNTER.id), (None, "t:1"))],
    ids=repr,
)
def test_a_page_of_runs_is_read_in_the_order_of_an_index(
    crowded: psycopg.Connection[Any], which: RunFilter, after: Any
) -> None:
    for plan in plans(crowded, query_of(which, after, 11, "postgresql")):
        assert "Seq Scan" not in plan.kinds
        assert plan.indexes
        if which.statuses != ("queued",) or (which.graph_id, which.tags) == (None, ()):
            assert not plan.kinds & {"Sort", "Bitmap Heap Scan"}, plan.nodes
            # The newest runs may have to be passed over, which are those that are due.
            assert plan.blocks < 10 * DUE


def test_all_leases_are_renewed_without_reading_what_does_not_run(crowded: psycopg.Connection[Any]) -> None:
    for query in (_RENEW_ALL, _STILL_HELD_OF):
        for plan in plans(crowded, query, leases='[["due 1", 1], ["due 2", 1]]'):
            assert "Seq Scan" not in plan.kinds
            assert plan.blocks < 100


@pytest.mark.parametrize(
    ("query", "indexes", "blocks"),
    [
        (park_and_wake._WAITS_OF, {"waits_pkey"}, 20),
        (park_and_wake._DELETE, {"waits_pkey"}, 20),
        (park_and_wake._WAKE, {"runs_pkey", "waits_pkey", "signals_waiting", "runs_children"}, 100),
        (signals._WAITING, {"signals_waiting"}, 100),
        (signals._LAST_NUMBER, {"signals_pkey"}, 20),
        (signals._GET, {"signals_pkey"}, 20),
        (signal_queries._OLDEST, {"signals_waiting"}, 100),
        (side_effects._CONSUME, {"signals_pkey"}, 50),
        (child_queries._COUNTED, {"runs_children"}, 300),
        (child_queries._COMPLETED, {"runs_children"}, 300),
        (control._OPEN_CHILDREN, {"runs_children"}, 20),
        (control._RESUME, {"runs_pkey"}, 100),
        (control._WAIT, {"waits_pkey"}, 20),
        (visits._DELETE, {"visits_pkey"}, 20),
        (control._RESUMED_LINE, {"log_lines_pkey"}, 20),
        (visits._COUNTED, {"visits_pkey"}, 50),
        (history._COUNT_OF_OPEN, {"runs_children"}, 20),
        (history._LAST_PAUSE, {"log_lines_pkey"}, 20),
        (history._WENT_TO, {"snapshots_pkey"}, 20),
        (history._BEGINNING, {"runs_pkey", "snapshots_pkey", "log_lines_pkey"}, 40),
    ],
)
def test_what_control_asks_is_found_by_run(
    crowded: psycopg.Connection[Any], query: Any, indexes: set[str], blocks: int
) -> None:
    for plan in plans(crowded, query, run_id="w7", status="queued", last_seq=50):
        assert "Seq Scan" not in plan.kinds, plan.nodes
        assert plan.indexes == indexes
        assert plan.blocks < blocks
