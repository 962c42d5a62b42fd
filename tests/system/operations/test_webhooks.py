"""Webhooks from a store with an engine to real receivers: slow, absent, failing, redirecting, and not public."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from service.background import webhooks
from service.background.webhooks import Sender, delivering
from service.core import codec
from service.core.errors import StartRefused
from service.core.operations.webhooks import EVENTS, AllowedHosts, key_of, signed_headers
from service.core.state import State
from service.core.validation import read_graph
from service.settings import Settings
from service.store import Store
from service.store.commands.start import Start
from service.store.database.local_events import DELIVERABLE
from service.store.rows.operations.deliveries import notify_of
from tests.support.engine.harness import STATE_BYTES_MAX, bench
from tests.support.receiving import SECRET, Receiver, receiving
from tests.support.store.carrying import claim, rest
from tests.support.store.harness import Clock, until_async

STEPS = read_graph({"start_node": "a", "nodes": {"a": {"signal": "go"}}}, [])
"""It tells of `waiting`, and of how it ends."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@asynccontextmanager
async def sending(folder: Path, clock: Clock, *hosts: str) -> AsyncIterator[Store]:
    async with bench(folder, [], clock=clock) as made:
        sender = Sender(AllowedHosts(hosts), key_of(SECRET))
        async with delivering(made.store, sender):
            yield made.store


async def tell(store: Store, run_id: str, url: str) -> None:
    """Let a run tell `url` that it waits, and that it was cancelled."""
    await store.graphs.add(STEPS)
    state = State.of({}, STATE_BYTES_MAX)
    await store.runs.start(Start(run_id, STEPS.id, state, {}, notify=notify_of(url, EVENTS)))
    await rest(store, await claim(store, run_id))
    await store.control.cancel(run_id)


async def deliveries(store: Store, run_id: str) -> list[Any]:
    return list((await store.deliveries.page(run_id, 0, 100)).items)


async def until_failed(store: Store, run_id: str, status: int | None = None) -> Any:
    """The run's first delivery, once an attempt has failed, with this status of the answer."""
    while True:
        [first, *_] = await deliveries(store, run_id)
        if first.last_error is not None and first.last_status == status:
            return first
        await asyncio.sleep(0.02)


async def test_a_receiver_gets_each_event_signed_and_in_order(tmp_path: Path, receiver: Receiver, clock: Clock) -> None:
    async with sending(tmp_path, clock, "127.0.0.1") as store:
        for number in range(5):
            await tell(store, f"r{number}", receiver.url("/ok"))
        await until_async(lambda: len(receiver.at("/ok")) == 10)
        for number in range(5):
            mine = [each for each in receiver.at("/ok") if f"_r{number}_" in each[0]["webhook-id"]]
            assert [headers["webhook-id"] for headers, _ in mine] == [f"msg_r{number}_1", f"msg_r{number}_2"]
            assert [codec.loads(body)["type"] for _, body in mine] == ["run.waiting", "run.cancelled"]
            for headers, body in mine:
                expected = signed_headers(
                    key_of(SECRET), headers["webhook-id"], int(headers["webhook-timestamp"]), body
                )
                assert expected.items() <= headers.items()
                assert headers["host"] == f"127.0.0.1:{receiver.port}"
                assert headers["content-type"] == "application/json"


async def test_a_receiver_that_fails_is_asked_again_and_nothing_overtakes(
    tmp_path: Path, receiver: Receiver, clock: Clock
) -> None:
    receiver.answers["/flaky"] = [500, 503]
    async with sending(tmp_path, clock, "127.0.0.1") as store:
        await tell(store, "r", receiver.url("/flaky"))
        for status in (500, 503):
            failed = await until_failed(store, "r", status)
            assert failed.last_error == f"the answer was {status}"
            clock.advance(11)
            store.events.notify([DELIVERABLE])
        await until_async(lambda: len(receiver.at("/flaky")) == 4)
    assert [headers["webhook-id"] for headers, _ in receiver.at("/flaky")] == [*["msg_r_1"] * 3, "msg_r_2"]


async def test_a_redirect_is_not_followed(tmp_path: Path, receiver: Receiver, clock: Clock) -> None:
    receiver.answers["/redirect"] = [302] * 9
    before = len(receiver.at("/ok"))
    async with sending(tmp_path, clock, "127.0.0.1") as store:
        await tell(store, "r", receiver.url("/redirect"))
        failed = await until_failed(store, "r", 302)
    assert (failed.last_status, failed.last_error) == (302, "the answer was 302, and no redirect is followed")
    assert len(receiver.at("/ok")) == before


async def test_slow_and_absent_receivers_delay_no_others(tmp_path: Path, receiver: Receiver, clock: Clock) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        absent = f"http://localhost:{unused.getsockname()[1]}/"
        async with sending(tmp_path, clock, "127.0.0.1", "localhost") as store:
            for number in range(webhooks.SENDING_MAX):
                await tell(store, f"slow{number}", receiver.url("/slow"))
            await until_async(lambda: len(receiver.at("/slow")) == webhooks.HOST_MAX)
            await tell(store, "absent", absent)
            await until_failed(store, "absent")
            await tell(store, "ok", receiver.url("/ok", "localhost"))
            await until_async(lambda: [h for h, _ in receiver.at("/ok") if h["webhook-id"] == "msg_ok_2"])
            [refused, _] = await deliveries(store, "absent")
            assert "no connection to" in refused.last_error
            assert len(receiver.at("/slow")) == webhooks.HOST_MAX
            receiver.hold.set()
            await until_async(lambda: len(receiver.at("/slow")) == 2 * webhooks.SENDING_MAX)


async def test_a_receiver_that_never_answers_is_given_up(
    tmp_path: Path, receiver: Receiver, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "SEND_S", 0.05)
    receiver.hold.clear()
    async with sending(tmp_path, clock, "127.0.0.1") as store:
        await tell(store, "r", receiver.url("/slow"))
        failed = await until_failed(store, "r")
    receiver.hold.set()
    assert (failed.last_status, failed.last_error) == (None, "no answer within 0.05 s")


async def test_what_a_server_that_stops_has_not_sent_is_due_at_once(
    tmp_path: Path, receiver: Receiver, clock: Clock
) -> None:
    receiver.hold.clear()
    before = len(receiver.at("/slow"))
    async with bench(tmp_path, [], clock=clock) as made:
        async with delivering(made.store, Sender(AllowedHosts(["127.0.0.1"]), key_of(SECRET))):
            await tell(made.store, "r", receiver.url("/slow"))
            await until_async(lambda: len(receiver.at("/slow")) > before)
        receiver.hold.set()
        [again], _ = await made.store.deliveries.claim(10, {}, 10)
    assert (again.number, again.attempt) == (1, 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [("RUNGRAPH_WEBHOOK_HOSTS", "a.example,http://b.example"), ("RUNGRAPH_WEBHOOK_SECRET", "secret")],
)
def test_a_faulty_setting_stops_the_start(name: str, value: str) -> None:
    with pytest.raises(StartRefused, match=name):
        Settings.from_environment({name: value})


PRIVATE = {
    "a.test": ["127.0.0.1"],
    "b.test": ["8.8.8.8", "10.0.0.1"],
    "c.test": ["::ffff:127.0.0.1"],
    "d.test": ["fe80::1%lo"],
}


async def test_a_name_with_a_private_address_is_refused(
    tmp_path: Path, receiver: Receiver, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, PRIVATE, receiver.port)
    before = len(receiver.came)
    async with sending(tmp_path, clock, *PRIVATE) as store:
        for name, addresses in PRIVATE.items():
            await tell(store, name, receiver.url("/ok", name))
            failed = await until_failed(store, name)
            assert failed.last_error == (f"the host {name!r} has an address that is not public: {', '.join(addresses)}")
    assert len(receiver.came) == before


async def test_the_connection_goes_to_the_address_that_was_checked(
    tmp_path: Path, receiver: Receiver, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second lookup would give another address. The Host header has the name."""
    asked = resolve(monkeypatch, {"hooks.test": ["127.0.0.1"]}, receiver.port)
    monkeypatch.setattr(webhooks, "is_public", lambda _: True)
    async with sending(tmp_path, clock, "hooks.test") as store:
        await tell(store, "checked", receiver.url("/checked", "hooks.test"))
        await until_async(lambda: len(receiver.at("/checked")) == 2)
    assert {headers["host"] for headers, _ in receiver.at("/checked")} == {f"hooks.test:{receiver.port}"}
    assert asked == ["hooks.test"] * 2


def resolve(monkeypatch: pytest.MonkeyPatch, addresses: Mapping[str, Sequence[str]], port: int) -> list[str]:
    """Let these names have these addresses; return the names that are looked up."""
    asked: list[str] = []
    honest = socket.getaddrinfo

    def look_up(host: Any, *rest: Any, **more: Any) -> Any:
        if host not in addresses:
            return honest(host, *rest, **more)
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses[host]]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked
