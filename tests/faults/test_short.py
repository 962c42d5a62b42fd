"""A short pass of the fault suite; the long one is `python -m tests.faults --hours 1`."""

from __future__ import annotations

from tests.support.faults.kinds import backends_ended, server_killed
from tests.support.faults.rounds import play
from tests.support.postgres import Databases, own_server

SECONDS = 2.0


def test_a_killed_server_loses_and_doubles_nothing_that_it_acknowledged() -> None:
    outcome = play(server_killed, 1, SECONDS, postgres=None)
    assert outcome.injected
    assert outcome.runs
    assert not outcome.found, outcome.found


def test_broken_connections_to_postgresql_lose_and_double_nothing() -> None:
    with own_server(max_connections="100") as server:
        outcome = play(backends_ended, 1, SECONDS, postgres=(server, Databases(server.url).migrated()))
    assert outcome.injected
    assert outcome.runs
    assert not outcome.found, outcome.found
