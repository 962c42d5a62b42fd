"""Runs that attacks read."""

from __future__ import annotations

import time

from tests.faults.attacks.clients import Target

CHATTER = {"name": "chatter", "start_node": "a", "nodes": {"a": {"tool": "chatter", "metadata": {"lines": 1000}}}}
FINAL = ("completed", "failed", "paused")


def chattered(target: Target) -> str:
    """Return a run that has logged 1,000 full lines."""
    run_id = target.start(target.create(CHATTER))
    caller = target.caller()
    while caller.json("GET", f"/runs/{run_id}")["status"] != "completed":
        time.sleep(0.2)
    return run_id


def finished(target: Target, document: dict[str, object], **state: object) -> str:
    run_id = target.start(target.create(document), **state)
    caller = target.caller()
    while caller.json("GET", f"/runs?id_prefix={run_id}")["items"][0]["status"] not in FINAL:
        time.sleep(0.2)
    return run_id


def rewritten(target: Target, steps: int = 60) -> str:
    """Return a run of which each step has written a MiB."""
    again = {"to": "a", "condition": {"key": "n", "op": "<", "value": steps}}
    return finished(target, {"name": "rewrite", "start_node": "a", "nodes": {"a": "rewrite"}, "edges": {"a": again}})
