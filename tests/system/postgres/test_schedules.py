"""Real servers on one PostgreSQL that are killed while a schedule ticks: each tick starts one run.

`RUNGRAPH_TEST_KILLS` says how many servers are killed; by default one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.support.postgres import Databases
from tests.support.system.invariants import check, counting, query, unfinished
from tests.support.system.process import running, until
from tests.support.system.sharing import server_on

KILLS = int(os.environ.get("RUNGRAPH_TEST_KILLS", "1"))
EVERY_S = 0.25


@pytest.fixture
def database(postgres: Databases) -> Iterator[str]:
    url = postgres.migrated()
    yield url
    postgres.drop(url)


def ticks_of(database: str) -> list[str]:
    rows = query(database, "SELECT schedule_tick FROM runs WHERE schedule_name = 'often' ORDER BY schedule_tick")
    return [tick for (tick,) in rows]


def test_servers_that_are_killed_lose_no_tick_and_start_none_twice(database: str, tmp_path: Path) -> None:
    servers = [server_on(database, tmp_path, name) for name in ("one", "two")]
    with running(*servers):
        body = {"graph_id": servers[0].create(counting(1)), "every_s": EVERY_S, "initial_state": {"n": 0}}
        body |= {"overlap": "start", "catch_up": "all"}
        assert servers[0].call("PUT", "/schedules/often", json=body).status_code == 201
        for number in range(KILLS):
            seen = len(ticks_of(database))
            until(lambda seen=seen: len(ticks_of(database)) >= seen + 8)  # type: ignore[misc]  # mypy knows no defaults
            victim = servers[number % 2]
            victim.kill()
            if number + 1 < KILLS:
                victim.start()
        seen = len(ticks_of(database))
        until(lambda: len(ticks_of(database)) >= seen + 8)
        survivor = servers[KILLS % 2]
        survivor.call("DELETE", "/schedules/often")
        until(lambda: not unfinished(database))
    found = [datetime.fromisoformat(str(tick)) for tick in ticks_of(database)]
    step = timedelta(seconds=EVERY_S)
    assert found == [found[0] + number * step for number in range(len(found))]
    check(database, runs=len(found))
