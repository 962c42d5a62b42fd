"""Law 16 on PostgreSQL for schedules, limits, deletions and deliveries; see `test_locks` for the commands of runs."""

from __future__ import annotations

from typing import Any

import pytest

from service.core.queueing.limits import Limit
from service.store import Store
from service.store.commands.operations.deliveries import Answer
from service.store.commands.start import Start
from service.store.database.protocol import Database
from service.store.rows.operations.deliveries import notify_of
from service.store.rows.operations.schedules import Plan
from service.store.rows.operations.timetable import Timetable
from tests.support.store.behind_locks import Do, Prepare, assert_waits_alone
from tests.support.store.carrying import LEAF, claim, rest
from tests.support.store.harness import COUNTER, clean, start_of
from tests.support.store.limits.limiting import LIMIT, asking_of, queue_limited
from tests.support.store.locking import row, whole

PLAN = Plan(graph_id=COUNTER.id, graph_name=None, timetable=Timetable(None, 60), state='{"n":0}', tags="{}")


@pytest.fixture
def database(kept: Database) -> Database:
    clean(kept)
    return kept


async def a_graph(store: Store) -> None:
    await store.graphs.add(COUNTER)


async def a_schedule(store: Store) -> None:
    await store.graphs.add(COUNTER)
    await store.schedules.set("s", PLAN)


async def a_paused_schedule(store: Store) -> None:
    await a_schedule(store)
    await store.schedules.pause("s")


async def nothing(_store: Store) -> None: ...


async def a_limit(store: Store) -> None:
    await store.limits.put(LIMIT, Limit(1, None))


async def one_that_needs_a_slot(store: Store) -> Any:
    await a_limit(store)
    await queue_limited(store, "r")
    return asking_of(await claim(store, "r"))


async def one_that_is_over(store: Store) -> None:
    await store.graphs.add(LEAF)
    await store.runs.start(start_of("r", LEAF, tags={"a": "b"}))
    await rest(store, await claim(store, "r"))


async def one_that_is_marked(store: Store) -> None:
    await one_that_is_over(store)
    await store.deletions.mark("r")


async def one_to_tell_of(store: Store) -> None:
    await store.graphs.add(LEAF)
    notify = notify_of("https://hooks.example.com/x", ["completed"])
    await store.runs.start(Start("r", LEAF.id, start_of("r", LEAF).state, {}, notify=notify))
    await rest(store, await claim(store, "r"))


async def a_delivery(store: Store) -> Any:
    await one_to_tell_of(store)
    return (await store.deliveries.claim(1, {}, 1))[0][0]


async def sweep(store: Store, _: Any) -> bool:
    return (await store.deletions.sweep(["r"], 100)).is_done


COMMANDS: dict[str, tuple[Prepare, Do]] = {
    "set": (a_graph, lambda store, _: store.schedules.set("s", PLAN)),
    "replace": (a_schedule, lambda store, _: store.schedules.set("s", PLAN)),
    "pause": (a_schedule, lambda store, _: store.schedules.pause("s")),
    "pause all": (a_schedule, lambda store, _: store.schedules.pause_all()),
    "resume": (a_paused_schedule, lambda store, _: store.schedules.resume("s")),
    "trigger": (a_schedule, lambda store, _: store.schedules.trigger("s", "r")),
    "delete": (a_schedule, lambda store, _: store.schedules.delete("s")),
    "put a limit": (nothing, lambda store, _: store.limits.put(LIMIT, Limit(2, None))),
    "change a limit": (a_limit, lambda store, _: store.limits.put(LIMIT, Limit(2, 1.0))),
    "delete a limit": (a_limit, lambda store, _: store.limits.delete(LIMIT)),
    "acquire": (one_that_needs_a_slot, lambda store, asking: store.limits.acquire(asking)),
    "mark": (one_that_is_over, lambda store, _: store.deletions.mark("r")),
    "mark all": (one_that_is_over, lambda store, _: store.deletions.mark_all(["r"])),
    "sweep": (one_that_is_marked, sweep),
    "claim deliveries": (one_to_tell_of, lambda store, _: store.deliveries.claim(1, {}, 1)),
    "note": (a_delivery, lambda store, delivery: store.deliveries.note(delivery, Answer(204, None))),
    "drop all": (a_delivery, lambda store, _: store.deliveries.drop_all("no host is allowed")),
}
OF_SCHEDULES = ("replace", "pause", "pause all", "resume", "trigger", "delete")
BEHIND = [
    *((command, "SELECT FROM schedules FOR UPDATE") for command in OF_SCHEDULES),
    *((command, whole("schedules")) for command in ("set", *OF_SCHEDULES)),
    ("trigger", f"SELECT FROM graphs WHERE id = '{COUNTER.id}' FOR UPDATE"),
    *((command, "SELECT FROM limits FOR UPDATE") for command in ("change a limit", "delete a limit", "acquire")),
    *((command, whole("limits")) for command in ("put a limit", "change a limit", "delete a limit", "acquire")),
    ("acquire", row("r")),
    ("acquire", whole("slots")),
    *((command, row("r")) for command in ("mark", "mark all", "note")),
    *((command, whole("deletions")) for command in ("mark", "mark all", "sweep")),
    ("sweep", "SELECT FROM log_lines WHERE run_id = 'r' FOR UPDATE"),
    *((command, whole("deliveries")) for command in ("claim deliveries", "note", "drop all")),
    *((command, "SELECT FROM deliveries FOR UPDATE") for command in ("note", "drop all")),
]


@pytest.mark.parametrize(("command", "lock"), BEHIND)
async def test_a_command_behind_a_lock_is_done_once_and_holds_up_no_other(
    database: Database, command: str, lock: str
) -> None:
    await assert_waits_alone(database, *COMMANDS[command], lock)


def test_every_command_is_put_behind_a_lock() -> None:
    assert {command for command, _ in BEHIND} == {*COMMANDS}
