"""The clock of a server's host is set under it, and between its end and its next start: its runs go on all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.system.invariants import TOOLS, counting, query
from tests.support.system.process import Server, running, until

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
COMPLETED = "SELECT count(*) FROM v_runs WHERE status = 'completed'"
NAP = {"start_node": "a", "nodes": {"a": {"sleep": 1}}}


class Clock:
    """The clock of a process that is preloaded with libfaketime; its monotonic clock stays as it is."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set_by(0)

    def set_by(self, hours: int) -> None:
        self._file.write_text(f"{hours * 3600:+d}\n")

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }


def is_ready(server: Server) -> bool:
    return server.ask("GET", "/readyz").status_code == 200


@pytest.mark.skipif(not LIBRARIES, reason="libfaketime is not installed")
def test_runs_go_on_under_a_clock_that_is_set_and_after_a_start_on_it(tmp_path: Path) -> None:
    """It is set back and forth under a server, and back before the next one starts."""
    clock = Clock(tmp_path / "clock")

    def server() -> Server:
        return Server(tmp_path, tools=[TOOLS], RUNGRAPH_MAX_ACTIVE_RUNS="1", PAUSE_S="0.1", **clock.environment)

    def begin(server: Server) -> None:
        for _ in range(3):
            server.run(counted, n=0)
        server.run(slept)

    with running(first := server()):
        counted, slept = first.create(counting(2)), first.create(NAP)
        for number, hours in enumerate((-1, 1)):
            begin(first)
            until(lambda: query(first.database, "SELECT 1 FROM v_runs WHERE status != 'completed' AND step > 0"))
            clock.set_by(hours)
            until(lambda: is_ready(first))
            until(lambda: query(first.database, COMPLETED) == [(4 * number + 4,)])  # noqa: B023  it is awaited here
        begin(first)
        until(lambda: is_ready(first))
        first.kill()
    clock.set_by(-1)
    with running(second := server()):
        until(lambda: query(second.database, COMPLETED) == [(12,)])
        assert second.stop() == 0
    for wrong in (
        "SELECT * FROM v_steps WHERE duration_ms < 0 OR duration_ms > 100000 OR started_at > finished_at",
        "SELECT * FROM v_runs WHERE duration_s < 0 OR started_at > finished_at",
        "SELECT * FROM v_lines a JOIN v_lines b ON b.run_id = a.run_id AND b.seq = a.seq + 1 WHERE a.ts > b.ts",
    ):
        assert query(second.database, wrong) == []
