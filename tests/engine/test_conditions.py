"""Conditions that compare large values hold up no other run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.engine.harness import loop_until, running


async def add(state: dict[str, Any]) -> None:
    state["n"] += 1


async def test_thousands_of_large_comparisons_fail_their_run_and_no_other(tmp_path: Path) -> None:
    # Equal and written otherwise, so that each has to be compared to its end.
    ones, floats = [1] * 100_000, [1.0] * 100_000
    same = {"key": "ones", "op": "==", "value_from": "floats"}
    edges = [{"to": "a", "condition": {"all": [same] * 5000}}]
    document = {"start_node": "a", "nodes": {"a": "add"}, "edges": {"a": edges}}

    async with running(tmp_path, add) as bench:
        await bench.start("large", document, n=0, ones=ones, floats=floats)
        await bench.start("small", loop_until(20), n=0)
        assert (await bench.over("small")).status == "completed"
        failed = await bench.over("large")
        assert failed.status == "failed"
        assert failed.error is not None
        assert json.loads(failed.error)["type"] == "condition_error"
