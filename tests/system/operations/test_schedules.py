"""Real servers that are killed while a schedule ticks: each tick starts one run.

`RUNGRAPH_TEST_SCHEDULE_KILLS` says how often one is killed; by default once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.support.postgres import Databases
from tests.support.system.invariants import TOOLS, check, counting, query, unfinished
from tests.support.system.process import Server, running, until
from tests.support.system.sharing import server_on

VARIABLE = "RUNGRAPH_TEST_SCHEDULE_KILLS"
KILLS = int(os.environ.get(VARIABLE, "1"))
EVERY_S = 0.25
SEEN = 6
"""Ticks that are waited for before each kill and at the end."""


@pytest.fixture
def postgres_url(postgres: Databases) -> Iterator[str]:
    url = postgres.migrated()
    yield url
    postgres.drop(url)


def test_servers_on_one_postgresql_lose_no_tick_and_start_none_twice(postgres_url: str, tmp_path: Path) -> None:
    count_ticks_while_killing([server_on(postgres_url, tmp_path, name) for name in ("one", "two")], postgres_url)


@pytest.mark.skipif(VARIABLE not in os.environ, reason=f"the store's tests do it faster, unless {VARIABLE} is set")
def test_a_server_on_sqlite_loses_no_tick_and_starts_none_twice(tmp_path: Path) -> None:
    server = Server(tmp_path, tools=[TOOLS])
    count_ticks_while_killing([server], server.database)


def count_ticks_while_killing(servers: list[Server], database: str | Path) -> None:
    """Kill one server after the other while a schedule ticks, and start each again before the next is killed."""
    with running(*servers):
        body = {"graph_id": servers[0].create(counting(1)), "every_s": EVERY_S, "initial_state": {"n": 0}}
        body |= {"overlap": "start", "catch_up": "all"}
        assert servers[0].call("PUT", "/schedules/often", json=body).status_code == 201
        for number in range(KILLS):
            until_more_ticks(database)
            victim = servers[number % len(servers)]
            victim.kill()
            if number + 1 < KILLS or len(servers) == 1:
                victim.start()
        until_more_ticks(database)
        servers[KILLS % len(servers)].call("DELETE", "/schedules/often")
        until(lambda: not unfinished(database))
    ticks = [datetime.fromisoformat(str(tick)) for tick in ticks_of(database)]
    step = timedelta(seconds=EVERY_S)
    assert ticks == [ticks[0] + number * step for number in range(len(ticks))]
    check(database, runs=len(ticks))


def until_more_ticks(database: str | Path) -> None:
    seen = len(ticks_of(database))
    until(lambda: len(ticks_of(database)) >= seen + SEEN)


def ticks_of(database: str | Path) -> list[str]:
    rows = query(database, "SELECT schedule_tick FROM runs WHERE schedule_name = 'often' ORDER BY schedule_tick")
    return [tick for (tick,) in rows]
