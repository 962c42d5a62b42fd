"""A short pass of the fault suite; the long one is `python -m tests.faults --hours 1`."""

from __future__ import annotations

import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.faults.kinds import backends_ended, server_killed
from tests.support.faults.rounds import play
from tests.support.postgres import Databases, own_server
from tests.support.system.process import Server

SECONDS = 1.0


def test_a_killed_server_loses_and_doubles_nothing_that_it_acknowledged() -> None:
    outcome = play(server_killed, 1, SECONDS, postgres=None, has_disk=False)
    assert outcome.injected
    assert outcome.runs
    assert not outcome.found, outcome.found


def test_broken_connections_to_postgresql_lose_and_double_nothing() -> None:
    with own_server(max_connections="100") as server:
        outcome = play(backends_ended, 1, SECONDS, postgres=(server, Databases(server.url).migrated()))
    assert outcome.injected
    assert outcome.runs
    assert not outcome.found, outcome.found


def test_several_threads_may_wait_for_one_process(tmp_path: Path) -> None:
    """The fault that kills a server waits for its end, and so does what keeps the server up."""
    server = Server(tmp_path, command=(sys.executable, "-c", "input()"))
    server.launch()
    with ThreadPoolExecutor(8) as threads:
        codes = [threads.submit(server.process.wait) for _ in range(8)]
        server.process.kill()
        assert {code.result() for code in codes} == {-signal.SIGKILL}
    server.output()
