"""Ways in which a runner loses its lease, or its commit turns out to have taken place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from service.store import Store
from service.store.rows.records import Claimed
from tests.support.store.harness import Clock, claim_one, commit, failure, walk

Situation = Callable[[Store, Claimed, Clock], Awaitable[Any]]


async def taken_over(store: Store, claimed: Claimed, clock: Clock) -> None:
    await walk(store, claimed, [{"n": 1}])
    clock.advance(60)
    await claim_one(store)


async def released(store: Store, claimed: Claimed, _clock: Clock) -> None:
    await walk(store, claimed, [{"n": 1}])
    await store.leases.release(claimed.lease, interrupted=False)


async def completed(store: Store, claimed: Claimed, _clock: Clock) -> None:
    await walk(store, claimed, [{"n": 1}, {"n": 1000}])


async def failed(store: Store, claimed: Claimed, _clock: Clock) -> None:
    run = await walk(store, claimed, [{"n": 1}])
    await commit(store, claimed.lease, failure(run))


async def one_step_further(store: Store, claimed: Claimed, _clock: Clock) -> None:
    await walk(store, claimed, [{"n": 1}, {"n": 2}])
