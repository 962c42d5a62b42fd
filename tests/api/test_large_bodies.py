"""Bounds on the memory and the work that large bodies take, and small calls beside them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from service.api import large_bodies
from service.api.large_bodies import LARGE_BYTES_MIN, WORKED_BYTES_MAX, LargeBodies
from service.core import codec
from tests.support.api.harness import COUNT, Server, eventually
from tests.support.rawsocket import connected

POST = "POST /graph/run HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"


def start(client: httpx.Client, graph_id: str, **state: Any) -> httpx.Response:
    return client.post("/graph/run", json={"graph_id": graph_id, "initial_state": state})


@contextmanager
def busy(server: Server) -> Iterator[None]:
    """As if as many bytes of large bodies as may be were worked on."""
    bodies = server.app.state.large_bodies
    server.do(bodies.take_turn(WORKED_BYTES_MAX))
    yield
    server.loop.call_soon_threadsafe(bodies.end_turn, WORKED_BYTES_MAX)


@pytest.fixture
def graph_id(client: httpx.Client) -> str:
    return str(client.post("/graph/create", json=COUNT).json()["graph_id"])


def test_a_large_body_waits_for_its_turn_and_holds_up_no_small_one(
    server: Server, client: httpx.Client, graph_id: str
) -> None:
    bodies = server.app.state.large_bodies
    with ThreadPoolExecutor(1) as threads:
        with busy(server):
            large = threads.submit(start, client, graph_id, text="x" * LARGE_BYTES_MIN)
            eventually(lambda: bodies.held_bytes > LARGE_BYTES_MIN)
            with server.client() as other:
                assert start(other, graph_id, text="x").status_code == 202
            assert not large.done()
        assert large.result().status_code == 202
    eventually(lambda: not bodies.held_bytes)


def test_a_large_body_whose_turn_does_not_come_is_refused(
    server: Server, client: httpx.Client, graph_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_bodies, "TURN_WITHIN_S", 0.0)
    with busy(server):
        refused = start(client, graph_id, text="x" * LARGE_BYTES_MIN)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert start(client, graph_id, text="x" * LARGE_BYTES_MIN).status_code == 202


@pytest.mark.parametrize("cancels", ["before its turn", "with its turn"])
async def test_a_call_that_is_cancelled_gives_its_turn_back(cancels: str) -> None:
    bodies = LargeBodies()
    await bodies.take_turn(WORKED_BYTES_MAX)
    leaving, staying = (asyncio.create_task(bodies.take_turn(size)) for size in (WORKED_BYTES_MAX, 1))
    await asyncio.sleep(0)
    if cancels == "with its turn":
        bodies.end_turn(WORKED_BYTES_MAX)
    leaving.cancel()
    await asyncio.wait([leaving])
    if cancels == "before its turn":
        bodies.end_turn(WORKED_BYTES_MAX)
    await staying
    await bodies.take_turn(WORKED_BYTES_MAX - 1)  # Nothing is held but the one byte.


async def test_small_ones_of_the_large_bodies_are_worked_on_together() -> None:
    bodies = LargeBodies()
    for _ in range(WORKED_BYTES_MAX // LARGE_BYTES_MIN):
        await bodies.take_turn(LARGE_BYTES_MIN)
    late = asyncio.create_task(bodies.take_turn(1))
    await asyncio.sleep(0)
    assert not late.done()
    bodies.end_turn(LARGE_BYTES_MIN)
    await late


def test_a_large_body_is_decoded_on_a_thread(
    client: httpx.Client, graph_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded_on: list[threading.Thread] = []
    decode = codec.decode

    def noting(*arguments: Any) -> Any:
        decoded_on.append(threading.current_thread())
        return decode(*arguments)

    monkeypatch.setattr(codec, "decode", noting)
    assert start(client, graph_id, text="x").status_code == 202
    assert start(client, graph_id, text="x" * LARGE_BYTES_MIN).status_code == 202
    small, large = decoded_on
    assert small is not large


def test_bodies_that_do_not_come_take_bounded_memory(
    server: Server, client: httpx.Client, graph_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 2 * LARGE_BYTES_MIN
    monkeypatch.setattr(large_bodies, "HELD_BYTES_MAX", 3 * size)
    bodies = server.app.state.large_bodies
    with ExitStack() as senders:
        for _ in range(3):
            raw = senders.enter_context(connected(server.port))
            raw.sendall(POST.format(size + 1).encode() + b" " * size)
        eventually(lambda: bodies.held_bytes == 3 * size)
        refused = start(client, graph_id, text="x" * LARGE_BYTES_MIN)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert "large bodies" in refused.json()["detail"]
        assert start(client, graph_id, text="x").status_code == 202
    eventually(lambda: not bodies.held_bytes)
    assert start(client, graph_id, text="x" * LARGE_BYTES_MIN).status_code == 202
