"""The commands of control for `test_unknown`: the state that each needs, and the call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from service.core.join import child_id
from service.core.run import Transition
from service.core.state import Changes, State
from service.store import Store
from service.store.rows.records import Claimed, Lease
from tests.support.store.carrying import (
    AGAIN,
    APPROVAL,
    BOOM,
    LATER,
    LEAF,
    begun,
    carry,
    claim,
    fan,
    parked,
    queue,
    rest,
    setting,
    transition,
)
from tests.support.store.harness import BYTES_MAX, commit, key_of

COMMANDS = {
    *("start", "claim", "wake", "take over", "release", "interrupt", "begin", "renew", "late commit", "repeat"),
    *("step", "park", "wake up", "consume", "time out", "hold", "retry", "error edge", "fail"),
    *("start children", "start some children", "join", "fail for a child"),
    *("time out for children", "send", "send again", "send to a closed run", "send another with the key"),
    *("pause", "ask to pause", "pause at a boundary", "pause what is over", "withdraw", "resume"),
    *("resume a failed run", "resume with a patch", "resume what is not held", "cancel", "cancel what has ended"),
    *("fork", "fork at an end"),
}

FIRST = child_id("p", 1, 1, 0)


class Ready(NamedTuple):
    """A transition that is about to be committed."""

    lease: Lease
    made: Transition


Prepare = Callable[[Store], Awaitable[Any]]
Do = Callable[[Store, Any], Awaitable[Any]]


def patched(**keys: Any) -> Callable[[State], Changes]:
    def patch(state: State) -> Changes:
        before = state.to_object()
        return state.changes_to(before | keys, before, BYTES_MAX)

    return patch


async def queued(store: Store) -> None:
    await queue(store, "r", LEAF, n=0)


async def running(store: Store) -> Claimed:
    return await begun(store, "r", LEAF, n=0)


async def pausing(store: Store) -> Claimed:
    claimed = await running(store)
    assert await store.control.pause("r") == "running"
    return claimed


async def paused(store: Store) -> None:
    await queued(store)
    assert await store.control.pause("r") == "paused"


async def failed(store: Store) -> None:
    await carry(store, await running(store), BOOM)


async def waiting(store: Store) -> None:
    await parked(store, "r", APPROVAL)


async def waiting_and_paused(store: Store) -> None:
    await waiting(store)
    await store.control.pause("r")
    await store.signals.send("r", "ok", "1")


async def _ready(store: Store, claimed: Claimed, outcome: Any = None) -> Ready:
    return Ready(claimed.lease, await transition(store, claimed.run, outcome))


async def about_to_park(store: Store) -> Ready:
    return await _ready(store, await begun(store, "r", APPROVAL))


async def about_to_park_with_mail(store: Store) -> Ready:
    ready = await about_to_park(store)
    await store.signals.send("r", "ok", "1")
    return ready


async def about_to_park_and_pause(store: Store) -> Ready:
    ready = await about_to_park(store)
    await store.control.pause("r")
    return ready


async def about_to_step_and_pause(store: Store) -> Ready:
    claimed = await begun(store, "r", fan(), items=[])
    await store.control.pause("r")
    return await _ready(store, claimed)


async def about_to_retry(store: Store) -> Ready:
    return await _ready(store, await begun(store, "r", AGAIN), BOOM)


async def about_to_consume(store: Store) -> Ready:
    await waiting(store)
    await store.signals.send("r", "ok", "1")
    return await _ready(store, await claim(store, "r"))


async def about_to_start_all(store: Store) -> Ready:
    return await _ready(store, await begun(store, "p", fan(), LEAF, items=[1, 2]))


async def about_to_start_some(store: Store) -> Ready:
    return await _ready(store, await begun(store, "p", fan(), LEAF, items=list(range(101))))


async def parent_of_two(store: Store) -> None:
    await parked(store, "p", fan(max_parallel=2), LEAF, items=[1, 2, 3])


async def about_to_end_a_child(store: Store) -> Ready:
    await parent_of_two(store)
    claimed = await claim(store, FIRST)
    return await _ready(store, claimed, setting(claimed.run, n=1))


async def about_to_fail_a_child(store: Store) -> Ready:
    await parent_of_two(store)
    return await _ready(store, await claim(store, FIRST), BOOM)


async def about_to_join(store: Store) -> Ready:
    await parked(store, "p", fan(), LEAF, items=[1])
    await rest(store, await claim(store, FIRST))
    return await _ready(store, await claim(store, "p"))


async def about_to_fail_for_a_child(store: Store) -> Ready:
    await parent_of_two(store)
    await store.control.cancel(FIRST)
    return await _ready(store, await claim(store, "p"))


async def committed(store: Store, ready: Ready) -> Any:
    return await commit(store, ready.lease, ready.made, at=LATER)


CONTROL_COMMANDS: dict[str, tuple[Prepare, Do]] = {
    "send": (queued, lambda store, _: store.signals.send("r", "ok", '{"by":1}')),
    "send with a key": (queued, lambda store, _: store.signals.send("r", "ok", "1", key_of("k"))),
    "send to one that waits": (waiting, lambda store, _: store.signals.send("r", "ok", "1")),
    "cancel": (running, lambda store, _: store.control.cancel("r")),
    "cancel one that waits": (waiting, lambda store, _: store.control.cancel("r")),
    "cancel a parent": (parent_of_two, lambda store, _: store.control.cancel("p")),
    "cancel a child": (parent_of_two, lambda store, _: store.control.cancel(FIRST)),
    "pause": (queued, lambda store, _: store.control.pause("r")),
    "pause one that runs": (running, lambda store, _: store.control.pause("r")),
    "pause one that waits": (waiting, lambda store, _: store.control.pause("r")),
    "withdraw a pause": (pausing, lambda store, _: store.control.resume("r")),
    "resume": (paused, lambda store, _: store.control.resume("r")),
    "resume with a patch": (paused, lambda store, _: store.control.resume("r", patched(n=7), 5)),
    "resume one that failed": (failed, lambda store, _: store.control.resume("r")),
    "resume one that waited": (waiting_and_paused, lambda store, _: store.control.resume("r")),
    **{
        name: (prepare, committed)
        for name, prepare in {
            "park": about_to_park,
            "park with mail": about_to_park_with_mail,
            "park, then pause": about_to_park_and_pause,
            "step, then pause": about_to_step_and_pause,
            "retry": about_to_retry,
            "consume": about_to_consume,
            "start all children": about_to_start_all,
            "start some children": about_to_start_some,
            "end a child": about_to_end_a_child,
            "fail a child": about_to_fail_a_child,
            "join": about_to_join,
            "fail for a child": about_to_fail_for_a_child,
        }.items()
    },
}
