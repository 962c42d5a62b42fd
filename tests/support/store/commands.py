"""Every command of the store: the state that it needs, and the call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from service.store import Store
from tests.support.store.carrying import LATER
from tests.support.store.control.commands import CONTROL_COMMANDS
from tests.support.store.harness import (
    COUNTER,
    commit,
    commit_chain,
    failure,
    key_of,
    said,
    start,
    start_of,
    started,
    success,
    successes,
)

Given = Any


Command = Callable[[Store, Given], Awaitable[Any]]


async def nothing(_store: Store) -> Given:
    return []


async def a_graph(store: Store) -> Given:
    await store.graphs.add(COUNTER)
    return []


async def two_runs_due(store: Store) -> Given:
    for name in ("r", "s"):
        await start(store, name)
    return []


async def a_claim(store: Store) -> Given:
    return [await started(store, "r")]


async def a_takeover(store: Store) -> Given:
    """Of a run whose server died in the middle of an attempt."""
    await started(store, "r")
    await store.leases.seize()
    return await store.leases.claim(1)


async def run_to_its_end(store: Store, given: Given) -> Any:
    return await commit(store, given[0].lease, success(given[0].run, n=1000), said("once"), at=LATER)


async def advance(store: Store, given: Given) -> Any:
    return await commit(store, given[0].lease, success(given[0].run, n=1, x=[1.0]), said("a", "b"), at=LATER)


async def fail(store: Store, given: Given) -> Any:
    return await commit(store, given[0].lease, failure(given[0].run), said("once"), at=LATER)


async def advance_by_a_chain(store: Store, given: Given) -> Any:
    made = successes(given[0].run, *({"n": number, "x": [1.0]} for number in range(1, 6)))
    return await commit_chain(store, given[0].lease, made, said("a", "b"))


async def end_by_a_chain(store: Store, given: Given) -> Any:
    made = successes(given[0].run, {"n": 1}, {"n": 2, "x": 1}, {"n": 1000})
    return await commit_chain(store, given[0].lease, made, said("once"))


async def append(store: Store, given: Given) -> bool:
    return await asyncio.wrap_future(store.logs.append(given[0].lease, said("a", "b", "c")))


async def append_twice(store: Store, given: Given) -> Any:
    """The same lines twice in one batch are lines twice."""
    return await asyncio.gather(append(store, given), append(store, given))


async def append_then_advance(store: Store, given: Given) -> Any:
    return await asyncio.gather(append(store, given), advance(store, given))


async def renew(store: Store, given: Given) -> Any:
    return await asyncio.wrap_future(store.leases.renew([given[0].lease]))


COMMANDS: dict[str, tuple[Callable[[Store], Awaitable[Given]], Command]] = {
    "add": (nothing, lambda store, _: store.graphs.add(COUNTER)),
    "start": (a_graph, lambda store, _: store.runs.start(start_of("r", tags={"a": "b"}))),
    "start with a key": (a_graph, lambda store, _: store.runs.start(start_of("r", tags={"a": "b"}), key_of("k"))),
    "claim": (two_runs_due, lambda store, _: store.leases.claim(10)),
    "claim one of two": (two_runs_due, lambda store, _: store.leases.claim(1)),
    "begin": (a_takeover, lambda store, given: store.leases.begin(given[0].lease)),
    "renew": (a_claim, renew),
    "release": (a_claim, lambda store, given: store.leases.release(given[0].lease, interrupted=False)),
    "interrupt": (a_claim, lambda store, given: store.leases.release(given[0].lease, interrupted=True)),
    "advance": (a_claim, advance),
    "end": (a_claim, run_to_its_end),
    "fail": (a_claim, fail),
    "advance by a chain": (a_claim, advance_by_a_chain),
    "end by a chain": (a_claim, end_by_a_chain),
    "append": (a_claim, append),
    "append twice": (a_claim, append_twice),
    "append, then advance": (a_claim, append_then_advance),
    "join": (a_graph, lambda store, _: store.servers.join()),
    "share": (a_graph, lambda store, _: store.servers.share(10, 3)),
    "seize": (a_claim, lambda store, _: store.leases.seize()),
    **CONTROL_COMMANDS,
}
