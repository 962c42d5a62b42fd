"""Burr: an application of one action with its own SQLite persister, which saves the whole state after each action.

Durability, by its source (integrations/persisters/b_aiosqlite.py, core/persistence.py): no pragma at all, so SQLite's
compiled-in defaults: a rollback journal and synchronous FULL here; each save is one INSERT and one commit. The
asynchronous persister has one connection for all applications: in S2 the INSERTs of many runs share the first
commit that comes: each is on disk when its `save` returns, but no transaction is one run's own, and a failed one
would take its neighbours' rows along. Variants: the asynchronous application (default); `sync`, a plain action and
SQLitePersister, which in S2 takes the runs one after the other; `wal`, the first on a file made in WAL mode.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from burr.core import ApplicationBuilder, State, action, expr

from peers import common


@action(reads=["count"], writes=["count"])
async def add(state: State) -> State:
    return state.update(count=state["count"] + 1)


@action(reads=["count"], writes=["count"])
def add_sync(state: State) -> State:
    return state.update(count=state["count"] + 1)


@action(reads=[], writes=[])
def done(state: State) -> State:
    """Where a run halts; never executed, so never saved."""
    return state


def builder(asked: common.Work, run_id: str, step: Any, persister: Any) -> ApplicationBuilder:
    return (
        ApplicationBuilder()
        .with_actions(add=step, done=done)
        .with_transitions(("add", "add", expr(f"count < {asked.steps}")), ("add", "done"))
        .with_entrypoint("add")
        .with_state(**asked.state)
        .with_identifiers(app_id=run_id)
        .with_state_persister(persister)
    )


async def run_async(asked: common.Work) -> tuple[float, str]:
    from burr.integrations.persisters.b_aiosqlite import AsyncSQLitePersister

    if asked.variant == "wal":
        common.make_wal(asked)
    async with AsyncSQLitePersister.from_values(str(common.file_of(asked))) as persister:
        await persister.initialize()
        answers = [
            (await (await persister.connection.execute(f"PRAGMA {of}")).fetchone())[0]
            for of in ("journal_mode", "synchronous")
        ]

        async def one(run_id: str) -> None:
            application = await builder(asked, run_id, add, persister).abuild()
            _, _, state = await application.arun(halt_before=["done"])
            common.check(state, asked.steps)

        begun = time.perf_counter()
        await asyncio.gather(*map(one, asked.run_ids))
        return time.perf_counter() - begun, common.said(*answers)


def run_sync(asked: common.Work) -> tuple[float, str]:
    from burr.core.persistence import SQLitePersister

    with SQLitePersister.from_values(str(common.file_of(asked))) as persister:
        persister.initialize()
        durability = common.pragmas(persister.connection)
        begun = time.perf_counter()
        for run_id in asked.run_ids:
            _, _, state = builder(asked, run_id, add_sync, persister).build().run(halt_before=["done"])
            common.check(state, asked.steps)
        return time.perf_counter() - begun, durability


def main() -> None:
    asked = common.work()
    seconds, durability = run_sync(asked) if asked.variant == "sync" else asyncio.run(run_async(asked))
    common.report(asked, seconds, durability)


if __name__ == "__main__":
    main()
