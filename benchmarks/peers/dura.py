"""dura: a task a run, a checkpoint a step, by its own pool of worker threads. Needs Python 3.13.

Durability, by its source (engine.py, `_conn`): `journal_mode=WAL`, no `synchronous`, so SQLite's compiled-in default,
FULL here (read back); every checkpoint is one BEGIN IMMEDIATE … COMMIT. It stores a step's result as JSON, so the
whole state each time. Its handlers are plain functions: an async tool has no place in it, and gets none.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import threading
import time
from contextlib import closing
from datetime import datetime
from typing import Any

from dura import ClaimedTask, DurableEngine, run_workers

from peers import common

WORKERS = 2
"""As in its quick start. More threads only queue for SQLite's one write lock."""


def add(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "count": state["count"] + 1}


def main() -> None:
    asked = common.work()
    engine = DurableEngine(common.file_of(asked))
    durability = common.pragmas(engine._conn())

    def loop(engine: DurableEngine, task: ClaimedTask) -> dict[str, Any]:
        state, step = task.params, 0
        while state["count"] < asked.steps:
            step += 1
            state = engine.checkpoint(task_id=task.task_id, step_name=f"add-{step}", fn=lambda state=state: add(state))
        return state

    begun = time.time()
    for run_id in asked.run_ids:
        engine.spawn_task(name="loop", params=asked.state, idempotency_key=run_id)
    ends: list[float] = []
    watcher = threading.Thread(target=watch, args=(asked, ends))
    watcher.start()
    workers = min(WORKERS, asked.runs)
    run_workers(engine, handlers={"loop": loop}, worker_count=workers)
    watcher.join()
    common.report(asked, ends[0] - begun, durability, workers=workers)


def watch(asked: common.Work, ends: list[float]) -> None:
    """Stop the pool when every run has ended, by the table: the pool itself notices its stop up to a second later."""
    with closing(sqlite3.connect(f"file:{common.file_of(asked)}?mode=ro", uri=True)) as connection:
        query = "SELECT count(*), max(terminal_at) FROM tasks WHERE state = 'completed'"
        while (row := connection.execute(query).fetchone())[0] < asked.runs:
            time.sleep(common.POLL_S)
        for (result,) in connection.execute("SELECT completed_payload FROM tasks"):
            common.check(json.loads(result), asked.steps)
    ends.append(datetime.fromisoformat(row[1]).timestamp())
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
