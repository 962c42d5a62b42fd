"""The outbox of webhooks: written with the change of status, sent in order by one server, and given up after a day."""

from __future__ import annotations

from typing import Any

import pytest

from service.core import codec
from service.core.moves import Failed
from service.core.operations.webhooks import EVENTS, RETRIED_S
from service.core.state import State
from service.store import Store
from service.store.commands.operations.deliveries import CLAIM_S, Answer, Delivery
from service.store.commands.start import Start
from service.store.database.protocol import Database
from service.store.rows.operations.deliveries import notify_of
from tests.support.store.breaking import breaks, committed_and_cut_off
from tests.support.store.carrying import APPROVAL, LEAF, carry, claim, rest, single
from tests.support.store.harness import BYTES_MAX, Clock, ask, opened

URL = "https://hooks.example.com/x"
OK, BAD = Answer(204, None), Answer(500, "the answer was 500")


@pytest.fixture
def database(emptied: Database) -> Database:
    return emptied


async def telling(store: Store, run_id: str, graph: Any = LEAF, url: str = URL, on: Any = EVENTS) -> None:
    """Queue a run that tells of its statuses."""
    await store.graphs.add(graph)
    await store.runs.start(Start(run_id, graph.id, State.of({}, BYTES_MAX), {}, notify=notify_of(url, on)))


async def due(
    store: Store, count: int = 100, sending: dict[str, int] | None = None, host_max: int = 99
) -> list[Delivery]:
    return (await store.deliveries.claim(count, sending or {}, host_max))[0]


def told(database: Database, run_id: str = "r") -> list[str]:
    rows = ask(database, "SELECT number, event, payload FROM deliveries WHERE run_id = ? ORDER BY number", run_id)
    assert [number for number, *_ in rows] == list(range(1, len(rows) + 1))
    for _, event, payload in rows:
        document = codec.loads(payload)
        assert (document["type"], document["data"]["status"]) == (f"run.{event}", event)
        assert document["data"]["run_id"] == run_id
    return [event for _, event, _ in rows]


async def test_each_change_of_status_is_told_once(database: Database) -> None:
    async with opened(database) as store:
        await telling(store, "r", APPROVAL)
        breaks(database, store, committed_and_cut_off)
        await rest(store, await claim(store, "r"))
        assert told(database) == ["waiting"]
        breaks(database, store, committed_and_cut_off)
        await store.control.pause("r")
        await store.control.resume("r")
        await store.signals.send("r", "ok", "1")
        await rest(store, await claim(store, "r"))
        assert told(database) == ["waiting", "paused", "waiting", "completed"]
        await telling(store, "cancelled", APPROVAL)
        breaks(database, store, committed_and_cut_off)
        await store.control.cancel("cancelled")
        await store.control.cancel("cancelled")
        assert told(database, "cancelled") == ["cancelled"]


async def test_a_failure_is_told_with_its_error_and_only_what_was_asked_for(database: Database) -> None:
    async with opened(database) as store:
        await telling(store, "r", single("add"), on=["failed", "cancelled"])
        await carry(store, await claim(store, "r"), Failed("tool_error", "boom"))
        await store.control.resume("r")
        await rest(store, await claim(store, "r"))
        assert told(database) == ["failed"]
        [payload] = [codec.loads(text) for (text,) in ask(database, "SELECT payload FROM deliveries")]
        assert payload["data"]["error"]["message"] == "boom"
        assert payload["timestamp"] == (await store.deliveries.page("r", 0, 10)).items[0].created_at


async def test_a_pause_that_takes_effect_with_a_wait_tells_of_the_pause(database: Database) -> None:
    async with opened(database) as store:
        await telling(store, "r", APPROVAL)
        claimed = await claim(store, "r")
        await store.control.pause("r")
        await rest(store, claimed)
        assert told(database) == ["paused"]


async def test_a_run_that_asks_for_nothing_tells_nothing(database: Database) -> None:
    async with opened(database) as store:
        await store.graphs.add(APPROVAL)
        await store.runs.start(Start("r", APPROVAL.id, State.of({}, BYTES_MAX), {}))
        await rest(store, await claim(store, "r"))
        await store.control.pause("r")
        await store.control.cancel("r")
        assert ask(database, "SELECT count(*) FROM deliveries") == [(0,)]


async def test_deliveries_of_a_run_go_out_in_order(database: Database, clock: Clock) -> None:
    async with opened(database, clock) as store:
        await telling(store, "r", APPROVAL)
        await rest(store, await claim(store, "r"))
        await store.control.cancel("r")
        [first] = await due(store)
        assert (first.number, first.attempt, first.url, first.message_id) == (1, 1, URL, "msg_r_1")
        assert await due(store) == []
        await store.deliveries.note(first, BAD)
        clock.advance(5.1)
        [again] = await due(store)
        assert (again.number, again.attempt, again.message_id, again.payload) == (1, 2, "msg_r_1", first.payload)
        breaks(database, store, committed_and_cut_off)
        await store.deliveries.note(again, OK)
        [second] = await due(store)
        assert second.number == 2
        await store.deliveries.note(second, OK)
        assert await due(store) == []
        page = await store.deliveries.page("r", 0, 1)
        assert [(each.state, each.attempts, each.last_status) for each in page.items] == [("delivered", 2, 204)]
        assert page.next_cursor == 1
    assert ask(database, "SELECT state, last_error FROM v_deliveries ORDER BY number") == [("delivered", None)] * 2


async def test_a_server_that_died_is_followed_and_one_that_hung_notes_nothing(database: Database, clock: Clock) -> None:
    async with opened(database, clock) as store:
        await telling(store, "r")
        await rest(store, await claim(store, "r"))
        [hung] = await due(store)
        clock.advance(CLAIM_S + 0.1)
        [taken] = await due(store)
        assert taken.attempt == 2
        await store.deliveries.note(hung, OK)
        assert (await store.deliveries.page("r", 0, 1)).items[0].state == "pending"
        await store.deliveries.note(taken, OK)
        assert (await store.deliveries.page("r", 0, 1)).items[0].state == "delivered"


async def test_after_a_day_a_delivery_is_given_up_and_the_next_one_is_sent(database: Database, clock: Clock) -> None:
    async with opened(database, clock) as store:
        await telling(store, "r", APPROVAL)
        await rest(store, await claim(store, "r"))
        await store.control.cancel("r")
        began, attempts = clock.now, 0
        while (sent := await due(store))[0].number == 1:
            attempts += 1
            await store.deliveries.note(sent[0], BAD)
            clock.advance(min(3600, 5 * 2 ** (attempts - 1)) + 0.1)
        assert 20 < attempts < 40
        assert 0 <= (clock.now - began).total_seconds() - RETRIED_S < 3700
        [first, second] = (await store.deliveries.page("r", 0, 10)).items
        assert (first.state, first.last_status, first.last_error) == ("failed", 500, BAD.error)
        assert (second.state, second.attempts) == ("pending", 1)
        await store.deliveries.drop_all("restored")
        assert await due(store) == []


async def test_one_host_does_not_take_all_places(database: Database) -> None:
    async with opened(database) as store:
        for number in range(6):
            url = "https://slow.example.com" if number < 4 else f"https://h{number}.example.com"
            await telling(store, str(number), url=url)
            await rest(store, await claim(store, str(number)))
        assert [each.host for each in await due(store, 4, host_max=2)] == ["slow.example.com"] * 2
        hosts = [each.host for each in await due(store, 4, {"slow.example.com": 2}, host_max=2)]
        assert sorted(hosts) == ["h4.example.com", "h5.example.com"]


async def test_a_deleted_run_takes_its_deliveries_with_it(database: Database) -> None:
    async with opened(database) as store:
        await telling(store, "r")
        await rest(store, await claim(store, "r"))
        await store.deletions.mark("r")
        assert await due(store) == []
        assert (await store.deletions.sweep(["r"], 1000)).is_done
    assert ask(database, "SELECT count(*) FROM deliveries") == [(0,)]
