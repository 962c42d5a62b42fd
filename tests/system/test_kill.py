"""SIGKILL at any moment: whatever was acknowledged goes on, each step is committed once, no line is lost."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections import Counter
from pathlib import Path

from tests.system.process import DEADLINE_S, Server

RUNS = int(os.environ.get("RUNGRAPH_TEST_KILLED_RUNS", "200"))
STEPS = 50
KILLS = int(os.environ.get("RUNGRAPH_TEST_KILLS", "5"))

TOOLS = """
import asyncio, os, time
from service import tool

PAUSE_S = float(os.environ["PAUSE_S"])
LOG = os.open("executions.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def note(context):
    os.write(LOG, f"{context.run_id} {context.step}\\n".encode())

@tool
async def add(state, context):
    note(context)
    await asyncio.sleep(PAUSE_S)
    return {"n": state["n"] + 1}

@tool
def add_on_a_thread(state, context):
    note(context)
    context.log("counting", n=state["n"])
    time.sleep(PAUSE_S / 2)
    return {"n": state["n"] + 1}
"""


def test_killed_again_and_again_nothing_is_lost_and_nothing_doubled(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(TOOLS)
    # As long as it takes for the last kill to find many runs unfinished.
    server = Server(tmp_path, tools=[tmp_path / "tools.py"], PAUSE_S=str(0.05 + KILLS * 0.01)).start()
    again = {"condition": {"key": "n", "op": "<", "value": STEPS}}
    graphs = [
        server.create({"start_node": "a", "nodes": {"a": tool}, "edges": {"a": [{"to": "a", **again}]}})
        for tool in ("add", "add_on_a_thread")
    ]
    started = [server.run(graphs[number % 2], n=0) for number in range(RUNS)]
    chance = random.Random(20261123)
    for _ in range(KILLS):
        server.kill()
        server.start()
        time.sleep(chance.uniform(0, 0.8))  # The moment of the kill is meant to be any moment.
    server.kill()
    with sqlite3.connect(tmp_path / "rungraph.db") as database:
        unfinished = database.execute("SELECT count(*) FROM runs WHERE status IN ('queued', 'running')").fetchone()
    assert unfinished[0] > RUNS / 4
    server.start()
    _wait_for_all(server)
    assert server.stop()[0] == 0
    _check(tmp_path, started, kills=KILLS + 1)


def _wait_for_all(server: Server) -> None:
    end = time.monotonic() + 2 * DEADLINE_S
    while any(server.call("GET", f"/runs?status={status}&limit=1").json()["items"] for status in ("queued", "running")):
        assert time.monotonic() < end
        time.sleep(0.1)


def _check(folder: Path, started: list[str], kills: int) -> None:
    with sqlite3.connect(folder / "rungraph.db") as database:
        runs = dict(database.execute("SELECT id, status || ' ' || step FROM runs"))
        assert runs == dict.fromkeys(started, f"completed {STEPS}")
        wrong_steps = database.execute(
            "SELECT run_id FROM snapshots GROUP BY run_id HAVING count(*) != ? OR min(step) != 1 OR max(step) != ?",
            (STEPS, STEPS),
        )
        assert wrong_steps.fetchall() == []
        wrong_lines = database.execute(
            "SELECT run_id FROM log_lines JOIN runs ON runs.id = run_id GROUP BY run_id"
            " HAVING count(*) != max(seq) OR min(seq) != 1 OR max(seq) != last_seq"
        )
        assert wrong_lines.fetchall() == []
        states = database.execute("SELECT state, count(*) FROM v_states WHERE step = ? GROUP BY 1", (STEPS,)).fetchall()
        assert states == [(f'{{"n":{STEPS}}}', len(started))]
        wrong_values = database.execute("SELECT run_id FROM changes WHERE value != CAST(step AS text)")
        assert wrong_values.fetchall() == []
        completed = database.execute("SELECT count(*) FROM log_lines WHERE event = 'step_completed'").fetchone()
        assert completed == (len(started) * STEPS,)
    executed = Counter((folder / "executions.txt").read_text().splitlines())
    assert len(executed) == len(started) * STEPS
    assert max(executed.values()) <= 1 + kills
