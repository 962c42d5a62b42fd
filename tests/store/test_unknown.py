"""A COMMIT that failed is unknown, not undone: what it did is found by its key, and is not done twice."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import pytest

from service.core.errors import Unavailable
from service.store import Store
from service.store.sqlite import Sqlite
from tests.store.support import COUNTER, ask, commit, key_of, opened, said, start_of, started, success


@pytest.fixture
def database(file: Sqlite) -> Sqlite:
    return file


class LyingConnection:
    """Commits, and the first time says that it could not."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._honest = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, text: str) -> Any:
        done = self._connection.execute(text)
        if text == "COMMIT" and not self._honest:
            self._honest = True
            raise sqlite3.OperationalError("disk I/O error")
        return done


def lie_once(store: Store) -> None:
    store._writer._connection = LyingConnection(store._writer._connection)


def test_a_batch_that_was_committed_after_all_is_done_once(database: Sqlite) -> None:
    async def scenario() -> None:
        async with opened(database) as store:
            claimed = await started(store)
            lie_once(store)
            transition = success(claimed.run, n=1)
            # Queued together, so that they are one batch, whose verbs are then each done again.
            added, new, run, lost = await asyncio.gather(
                store.graphs.add(COUNTER),
                store.runs.start(start_of("new", tags={"a": "b"}), key_of("k")),
                commit(store, claimed.lease, transition, said("once")),
                asyncio.wrap_future(store.leases.renew([claimed.lease])),
            )
            assert (added, new, run, lost) == (False, ("new", True), transition.run, [])
            record, state, lines = await store.runs.whole("r", 0, 10)
            assert (record.step, state.to_text()) == (1, '{"n":1}')
            assert [(line.seq, line.event) for line in lines] == [
                *((1, "run_started"), (2, "log"), (3, "step_completed"))
            ]
            assert ask(database, "SELECT run_id FROM idempotency_keys") == [("new",)]

    asyncio.run(scenario())


def test_a_verb_alone_whose_commit_failed_is_unavailable_and_may_be_repeated(database: Sqlite) -> None:
    async def scenario() -> None:
        async with opened(database) as store:
            claimed = await started(store)
            transition = success(claimed.run, n=1)
            lie_once(store)
            with pytest.raises(Unavailable):
                await store.runs.start(start_of("new"), key_of("k"))
            assert await store.runs.start(start_of("another id"), key_of("k")) == ("new", False)
            lie_once(store)
            with pytest.raises(Unavailable):
                await commit(store, claimed.lease, transition, said("once"))
            assert await commit(store, claimed.lease, transition, said("once")) == transition.run
            assert (await store.runs.get("r")).last_seq == 3

    asyncio.run(scenario())
