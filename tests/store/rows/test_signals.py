"""The mailbox: what is accepted is kept, in order of commit, and each is taken by one step, once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from service.core.errors import Conflict, LeaseLost, NotFound
from service.core.moves import NoSignal, Received
from service.core.transitions import Status
from service.store import Store
from service.store.commands.signals import MAILBOX_MAX
from service.store.database.protocol import Database
from service.store.rows.keys import Idempotency
from tests.support.store.carrying import (
    APPROVAL,
    BOOM,
    LEAF,
    begun,
    carry,
    claim,
    graph,
    parked,
    queue,
    rest,
    transition,
    waits,
)
from tests.support.store.harness import ask, commit, dump, opened

TWICE = graph(
    {
        "start_node": "a",
        "nodes": {"a": {"signal": "ok", "into": "first"}, "b": {"signal": "ok", "into": "second"}},
        "edges": {"a": "b"},
    }
)


def key(name: str, digest: str = "body") -> Idempotency:
    return Idempotency("signal:r", name, digest)


def mailbox(database: Database) -> list[tuple[int, str, str, int | None]]:
    return ask(database, "SELECT number, name, payload, step FROM signals ORDER BY run_id, number")


async def test_signals_are_taken_in_their_order_one_by_each_step(database: Database) -> None:
    async with opened(database) as store:
        await queue(store, "r", TWICE)
        for payload in ("1", '{"x":[1.0,18446744073709551616]}', "3"):
            assert await store.signals.send("r", "ok", payload) is True
        run = await rest(store, await claim(store, "r"))
        assert run.state.to_text() == '{"first":1,"second":{"x":[1.0,18446744073709551616]}}'
        assert [step for *_, step in mailbox(database)] == [1, 2, None]


async def test_only_a_signal_of_its_name_wakes_a_run(database: Database) -> None:
    async with opened(database) as store:
        await parked(store, "r", APPROVAL)
        await store.signals.send("r", "other", "1")
        assert await store.leases.claim(10) == []
        await store.signals.send("r", "ok", "null")
        assert (await rest(store, await claim(store, "r"))).state.to_text() == '{"ok":null}'
        assert [step for *_, step in mailbox(database)] == [None, 1]


async def test_a_server_that_dies_before_it_has_committed_has_taken_nothing(database: Database) -> None:
    async with opened(database) as store:
        await parked(store, "r", TWICE)
        for payload in "12":
            await store.signals.send("r", "ok", payload)
        dead = await claim(store, "r")
        late = await transition(store, dead.run)
        assert late.consumes == 1
        await store.leases.seize()
        heir = await carry(store, await claim(store, "r"))
        with pytest.raises(LeaseLost):
            await commit(store, dead.lease, late)
        assert (await carry(store, heir)).run.state.to_object() == {"first": 1, "second": 2}
        assert [step for *_, step in mailbox(database)] == [1, 2]


async def test_a_signal_whose_step_fails_is_not_taken(database: Database) -> None:
    picky = graph(
        {
            "start_node": "a",
            "nodes": {"a": {"signal": "ok"}},
            "edges": {"a": [{"to": None, "condition": {"key": "missing", "op": ">", "value": 1}}]},
        }
    )

    async with opened(database) as store:
        await parked(store, "r", picky)
        await store.signals.send("r", "ok", "1")
        assert (await rest(store, await claim(store, "r"))).status is Status.FAILED
        assert (mailbox(database), waits(database)) == ([(1, "ok", "1", None)], [])


async def test_a_key_used_again_is_the_same_signal_and_for_another_body_a_conflict(database: Database) -> None:
    async with opened(database) as store:
        await queue(store, "r", APPROVAL)
        assert await store.signals.send("r", "ok", "1", key("k")) is True
        assert await store.signals.send("r", "ok", "1", key("k")) is False
        with pytest.raises(Conflict, match="used for another body"):
            await store.signals.send("r", "ok", "2", key("k", "another"))
        assert await store.signals.send("r", "ok", "2", key("l")) is True
        await rest(store, await claim(store, "r"))
        # Of a run that is over as well: it is the answer to the same call.
        assert await store.signals.send("r", "ok", "1", key("k")) is False
        with pytest.raises(Conflict):
            await store.signals.send("r", "ok", "3", key("m"))
        assert len(mailbox(database)) == 2


async def made_completed(store: Store) -> None:
    await rest(store, await begun(store, "r", LEAF))


async def made_cancelled(store: Store) -> None:
    await queue(store, "r", LEAF)
    await store.control.cancel("r")


async def made_failed(store: Store) -> None:
    await carry(store, await begun(store, "r", LEAF), BOOM)


async def made_paused(store: Store) -> None:
    await queue(store, "r", LEAF)
    await store.control.pause("r")


@pytest.mark.parametrize("made", [made_completed, made_cancelled], ids=lambda made: made.__name__)
async def test_a_run_that_is_completed_or_cancelled_takes_none(database: Database, made: Any) -> None:
    async with opened(database) as store:
        await made(store)
        before = dump(database)
        with pytest.raises(Conflict, match=made.__name__.removeprefix("made_")):
            await store.signals.send("r", "ok", "1", key("k"))
        with pytest.raises(NotFound):
            await store.signals.send("another", "ok", "1", key("k"))
        assert dump(database) == before


@pytest.mark.parametrize("made", [made_failed, made_paused], ids=lambda made: made.__name__)
async def test_a_run_that_failed_or_is_paused_takes_some(database: Database, made: Any) -> None:
    async with opened(database) as store:
        await made(store)
        assert await store.signals.send("r", "ok", "1")
        assert isinstance(await store.signals.oldest("r", "ok"), Received)
        assert await store.signals.oldest("r", "another") == NoSignal()
        assert await store.leases.claim(10) == []


async def test_a_full_mailbox_takes_no_more_until_a_step_has_taken_one(database: Database) -> None:
    async with opened(database) as store:
        await parked(store, "r", APPROVAL)
        await asyncio.gather(*(store.signals.send("r", "other", str(n)) for n in range(MAILBOX_MAX - 1)))
        assert await store.signals.send("r", "ok", "1")
        with pytest.raises(Conflict, match="mailbox is full: 1000 signals"):
            await store.signals.send("r", "ok", "2", key("k"))
        await queue(store, "another", APPROVAL)
        assert await store.signals.send("another", "ok", "1")
        assert (await rest(store, await claim(store, "r"))).state.to_object() == {"ok": 1}
        numbers = [number for number, *_ in mailbox(database)]
        assert sorted(numbers) == [1, *range(1, MAILBOX_MAX + 1)]


async def test_a_refused_signal_uses_up_no_key(database: Database) -> None:
    async with opened(database) as store:
        await queue(store, "r", APPROVAL)
        with pytest.raises(NotFound):
            await store.signals.send("nobody", "ok", "1", key("k"))
        assert await store.signals.send("r", "ok", "1", key("k")) is True


@pytest.mark.parametrize("length", [1, 3000, 100_000])
async def test_a_name_is_of_any_length(database: Database, length: int) -> None:
    name = "".join(chr(0x4E00 + number * 7919 % 20000) for number in range(length))

    async with opened(database) as store:
        await parked(store, "r", graph({"start_node": "a", "nodes": {"a": {"signal": name, "into": "x"}}}))
        await store.signals.send("r", name + "!", "1")
        assert await store.leases.claim(10) == []
        await store.signals.send("r", name, "2")
        assert (await rest(store, await claim(store, "r"))).state.to_object() == {"x": 2}
