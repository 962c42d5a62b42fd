"""Leases are renewed while runs go on: no run that ends just then is taken for lost."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from service.engine.heartbeat import Heartbeat
from service.store import Store
from tests.support.engine.harness import loop_until, running
from tests.support.profile import repeat

RUNS = repeat(100, 300)


async def add(state: dict[str, Any]) -> None:
    state["n"] += 1


async def test_a_run_that_ends_while_its_lease_is_renewed_has_lost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def restless(store: Store, runners: Any, lost: Any, **_settings: Any) -> Heartbeat:
        return Heartbeat(store, runners, lost, renew_every_s=0)

    monkeypatch.setattr("service.engine.heartbeat.FLUSH_S", 0.001)
    monkeypatch.setattr("service.engine.engine.Heartbeat", restless)

    with caplog.at_level(logging.WARNING):
        async with running(tmp_path, add) as bench:
            for number in range(RUNS):
                await bench.start(f"r{number}", loop_until(2), n=0)
            assert [(await bench.over(f"r{number}")).status for number in range(RUNS)] == ["completed"] * RUNS
    assert not [record.message for record in caplog.records if "was lost" in record.message]
