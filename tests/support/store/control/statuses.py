"""Make a run in each status."""

from __future__ import annotations

from service.store import Store
from tests.support.store.carrying import APPROVAL, BOOM, LEAF, begun, carry, parked, queue, rest


async def queued(store: Store) -> None:
    await queue(store, "r", LEAF)


async def running(store: Store) -> None:
    await begun(store, "r", LEAF)


async def waiting(store: Store) -> None:
    await parked(store, "r", APPROVAL)


async def paused(store: Store) -> None:
    await queued(store)
    await store.control.pause("r")


async def completed(store: Store) -> None:
    await rest(store, await begun(store, "r", LEAF))


async def failed(store: Store) -> None:
    await carry(store, await begun(store, "r", LEAF), BOOM)


async def cancelled(store: Store) -> None:
    await queued(store)
    await store.control.cancel("r")


MADE = (queued, running, waiting, paused, completed, failed, cancelled)
