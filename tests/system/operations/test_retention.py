"""A server prunes old runs by itself if a setting says so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from service.background import retention
from service.core.errors import NotFound
from service.server import serving
from service.settings import Settings
from service.store import Store
from service.store.database.sqlite.connections import Sqlite
from service.store.queries.runs.prunable import PruneRule
from service.store.schema.migrate import migrate
from tests.support.store.carrying import APPROVAL, LEAF, parked
from tests.support.store.harness import opened, sql

LONG_AGO = "created_at = '2001-01-01T00:00:00.000Z', started_at = '2001-01-01T00:00:00.000Z'"


async def test_runs_that_ended_before_the_time_of_the_setting_are_deleted_with_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Sqlite(tmp_path / "rungraph.db")
    migrate(database)
    async with opened(database) as store:
        for run_id, graph in (("old", LEAF), ("young", LEAF), ("unfinished", APPROVAL)):
            await parked(store, run_id, graph)
    with sql(database) as session:
        session.execute(f"UPDATE runs SET {LONG_AGO} WHERE id IN ('old', 'unfinished')")
        session.execute("UPDATE runs SET finished_at = '2001-01-01T00:00:00.000Z' WHERE id = 'old'")
    for run_id in ("old", "young"):
        (tmp_path / "rungraph-data" / "runs" / run_id).mkdir(parents=True)
    pruned, prune_all = asyncio.Event(), retention.prune_all

    async def prune(store: Store, folder: Path, rule: PruneRule) -> int:
        count = await prune_all(store, folder, rule)
        pruned.set()
        return count

    monkeypatch.setattr(retention, "prune_all", prune)
    monkeypatch.setattr(retention, "PRUNE_EVERY_S", 0.01)
    environment = {"RUNGRAPH_DATABASE_URL": f"sqlite:///{database.file}", "RUNGRAPH_PRUNE_AFTER": "30d"}
    async with serving(Settings.from_environment(environment), "test", with_engine=False) as server:
        await pruned.wait()
        assert [folder.name for folder in server.runs_folder.iterdir()] == ["young"]
        with pytest.raises(NotFound):
            await server.store.runs.get("old")
        for run_id in ("young", "unfinished"):
            assert (await server.store.runs.get(run_id)).run_id == run_id


async def test_without_the_setting_nothing_is_pruned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def prune(*_: object) -> int:
        raise AssertionError("nobody asked for this")

    monkeypatch.setattr(retention, "PRUNE_EVERY_S", 0.01)
    monkeypatch.setattr(retention, "prune_all", prune)
    settings = Settings.from_environment({"RUNGRAPH_DATABASE_URL": f"sqlite:///{tmp_path / 'rungraph.db'}"})
    async with serving(settings, "test", with_engine=False) as server:
        assert settings.prune_after is None
        assert await server.store.runs.marked(10) == []
