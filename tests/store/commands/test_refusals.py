"""A refusal of a command that is committed together with others costs those nothing."""

from __future__ import annotations

import asyncio

import pytest

from service.core.errors import Invalid
from service.core.state import Changes, State
from service.store.database.protocol import Database
from tests.support.store.carrying import LEAF, queue, run_of
from tests.support.store.control.commands import paused
from tests.support.store.harness import gathering, opened, until_async


def unfit(_state: State) -> Changes:
    raise Invalid.at("/patch", "no state")


async def test_a_patch_that_is_refused_costs_its_neighbours_nothing_and_writes_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(database) as store:
        await paused(store)
        await queue(store, "s", LEAF, n=0)
        monkeypatch.delattr("service.store.database.writing.writer.Writer._replay")
        with gathering(store):
            resuming = asyncio.ensure_future(store.control.resume("r", unfit, 7))
            pausing = asyncio.ensure_future(store.control.pause("s"))
            await until_async(lambda: len(store._writer._waiting) == 2)
        with pytest.raises(Invalid):
            await resuming
        assert await pausing == "paused"
        assert run_of(database, "r", "status", "step", "max_steps") == ("paused", 0, None)
