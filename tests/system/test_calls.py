"""The calls that people were promised first, on a server that `uvicorn` started."""

from __future__ import annotations

import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
import pytest

from tests.support.checkout import CHECKOUT
from tests.support.profile import repeat
from tests.support.system.process import Server, serving, until
from tests.support.system.tails import lines_of_websocket as lines_of

TOOLS = CHECKOUT / "tests/support/system/tools.py"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("calls"), tools=[TOOLS]) as started:
        yield started


def test_a_websocket_cut_ten_times_has_seen_exactly_the_rows_of_the_table(server: Server) -> None:
    again = {"condition": {"key": "n", "op": "<", "value": 100}}
    graph = server.create({"start_node": "a", "nodes": {"a": "add_slowly"}, "edges": {"a": [{"to": "a", **again}]}})
    run = server.run(graph, n=0)
    seen: list[dict[str, Any]] = []
    for cut in range(10):
        for line in lines_of(server, run, seen[-1]["seq"] if seen else 0):
            seen.append(line)
            if len(seen) >= (cut + 1) * 7:
                break
    seen += lines_of(server, run, seen[-1]["seq"])
    with closing(sqlite3.connect(server.database)) as database:
        rows = database.execute("SELECT seq, event, message FROM v_lines WHERE run_id = ? ORDER BY seq", (run,))
        assert [(line["seq"], line["event"], line["message"]) for line in seen] == rows.fetchall()
    assert seen[-1]["event"] == "run_completed"
    assert list(lines_of(server, run, seen[-1]["seq"])) == []


def check_quality(server: Server, run_id: str) -> dict[str, Any]:
    run = server.follow(run_id)
    assert run["status"] == "completed", run["error"]
    state: dict[str, Any] = run["state"]
    counts = [entry["anomaly_count"] for entry in state["history"]]
    assert len(counts) >= 2
    assert counts[-1] < counts[0]
    assert state["stopped_because"] in ("threshold_met", "no_progress")
    assert state["stopped_because"] == "no_progress" or counts[-1] == 0
    return state


def cleaned(server: Server, run_id: str, state: dict[str, Any], folder: Path) -> list[tuple[Any, ...]]:
    answer = server.call("GET", f"/runs/{run_id}/files/{state['output']['table_csv']}")
    assert answer.status_code == 200
    (folder / "cleaned.csv").write_bytes(answer.content)
    with duckdb.connect(":memory:") as database:
        return database.execute(f"SELECT count(*) FROM '{folder / 'cleaned.csv'}'").fetchall()


def test_the_data_quality_demo_on_the_bundled_data(server: Server, tmp_path: Path) -> None:
    answer = server.call("POST", "/demo/run_data_quality")
    assert answer.status_code == 202
    run_id = answer.json()["run_id"]
    state = check_quality(server, run_id)
    assert state["row_count"] == 3322
    assert cleaned(server, run_id, state, tmp_path) == [(3322,)]


def test_the_data_quality_demo_on_rows(server: Server, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"id": number, "value": str(number)} for number in range(50)]
    rows[7]["value"] = "NA"
    answer = server.call("POST", "/demo/run_data_quality", json={"rows": rows, "threshold": 0})
    assert answer.status_code == 202
    run_id = answer.json()["run_id"]
    assert cleaned(server, run_id, check_quality(server, run_id), tmp_path) == [(50,)]


ROWS = repeat(42_500, 850_000)
"""Of a CSV file of 2.5 MiB, or of 50 MiB, which takes half a minute."""


def test_the_data_quality_demo_on_a_large_csv(server: Server, tmp_path: Path) -> None:
    line = "{0},{0}.5,some text that makes the row a little longer,{1}\n"
    rows = "".join(line.format(number, "NA" if number % 2 else "seen") for number in range(ROWS))
    csv = ("id,amount,note,flag\n" + rows).encode()
    assert len(csv) > ROWS / 17_000 * 2**20
    answer = server.call(
        "POST", "/demo/run_data_quality?threshold=0", content=csv, headers={"content-type": "text/csv"}
    )
    assert answer.status_code == 202
    run_id = answer.json()["run_id"]
    assert cleaned(server, run_id, check_quality(server, run_id), tmp_path) == [(ROWS,)]


def test_uvicorn_serves_the_same_with_reload(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "uvicorn", "service.main:app", "--reload", "--port", "0"]
    server = Server(tmp_path, command=command, RUNGRAPH_TOOLS=str(TOOLS))
    server.launch()
    assert server.process.stdout is not None
    try:
        for line in server.process.stdout:
            if "Uvicorn running on" in line and not line.rstrip().split("http://")[1].startswith("127.0.0.1:0 "):
                server.url = "http://" + line.split("http://")[1].split()[0]
            if "Application startup complete" in line:
                break
        until(lambda: _listens(server))  # uvicorn says so a moment before it listens.
        graph = server.create({"start_node": "a", "nodes": {"a": "add"}})
        run = server.follow(server.run(graph, n=1))
        assert (run["status"], run["state"]) == ("completed", {"n": 2})
        assert [line["event"] for line in lines_of(server, run["run_id"])] == [
            "run_started",
            "step_completed",
            "run_completed",
        ]
    finally:
        server.process.terminate()
        server.output()


def _listens(server: Server) -> bool:
    address = urlsplit(server.url)
    with socket.socket() as probe:
        return probe.connect_ex((address.hostname, address.port)) == 0
