"""A flood of handshakes waits in its order, and delays no other call."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import AsyncExitStack, ExitStack
from typing import Any, cast

import httpx
import pytest

from service.api.connections.handshakes import HANDSHAKES_MAX, Turn, handshake
from service.api.connections.inbound_limit import InboundLimit
from tests.support.api.harness import Server, eventually
from tests.support.rawsocket import reset, upgrade


class Connection:
    """As much of an InboundLimit as a handshake asks of it."""

    def __init__(self) -> None:
        self.is_lost = False
        self.tell: Any = None

    def when_lost(self, tell: Any) -> None:
        self.tell = tell

    def lose(self) -> None:
        self.is_lost = True
        self.tell()


async def begin(stack: AsyncExitStack, connection: Connection) -> Turn | None:
    return await stack.enter_async_context(handshake(cast(InboundLimit, connection)))


async def waiting(stack: AsyncExitStack, connection: Connection) -> asyncio.Task[Turn | None]:
    task = asyncio.create_task(begin(stack, connection))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not task.done()
    return task


async def test_so_many_are_in_progress_and_the_next_one_begins_when_one_is_accepted() -> None:
    async with AsyncExitStack() as stack:
        turns = [await begin(stack, Connection()) for _ in range(HANDSHAKES_MAX)]
        second, third = await waiting(stack, Connection()), await waiting(stack, Connection())
        first = turns[3]
        assert first is not None
        first.end()
        first.end()  # Once more does no harm.
        assert await second is not None
        assert not third.done()
        third.cancel()
        await asyncio.wait([third])


async def test_a_client_that_leaves_or_a_call_that_is_cancelled_takes_no_turn() -> None:
    async with AsyncExitStack() as stack:
        turns = [await begin(stack, Connection()) for _ in range(HANDSHAKES_MAX)]
        connections = [Connection() for _ in range(3)]
        leaving, cancelled, staying = [await waiting(stack, connection) for connection in connections]
        connections[0].lose()
        assert await leaving is None
        cancelled.cancel()
        await asyncio.wait([cancelled])
        assert cancelled.cancelled()
        assert turns[0] is not None
        turns[0].end()
        assert await staying is not None
    async with AsyncExitStack() as stack:  # All turns are there again.
        assert None not in [await begin(stack, Connection()) for _ in range(HANDSHAKES_MAX)]


async def test_a_cancel_is_not_lost_when_the_client_leaves_at_the_same_moment() -> None:
    async with AsyncExitStack() as stack:
        for _ in range(HANDSHAKES_MAX):
            await begin(stack, Connection())
        connection = Connection()
        task = await waiting(stack, connection)
        connection.lose()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def test_a_call_that_is_cancelled_just_as_it_gets_its_turn_gives_it_back() -> None:
    async with AsyncExitStack() as stack:
        turns = [await begin(stack, Connection()) for _ in range(HANDSHAKES_MAX)]
        task = await waiting(stack, Connection())
        assert turns[0] is not None
        turns[0].end()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    async with AsyncExitStack() as stack:
        assert None not in [await begin(stack, Connection()) for _ in range(HANDSHAKES_MAX)]


def test_runs_are_started_while_handshakes_wait(
    server: Server, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = server.start(client)
    runs = server.services.store.runs
    original, begun, go = runs.get, [], threading.Event()

    async def get(asked: str) -> Any:
        begun.append(asked)
        while not go.is_set():  # noqa: ASYNC110  # it is set on another thread
            await asyncio.sleep(0.01)
        return await original(asked)

    monkeypatch.setattr(runs, "get", get)
    with ExitStack() as stack:
        raws = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 60))
            for _ in range(HANDSHAKES_MAX + 5)
        ]
        for raw in raws:
            raw.sendall(upgrade(run_id))
        eventually(lambda: len(begun) == HANDSHAKES_MAX)
        server.start(client)
        for raw in raws[-4:]:
            reset(raw)
        go.set()
        for raw in raws[:-4]:
            assert b" 101 " in raw.recv(100)
