"""A COMMIT that is still going on when its connection breaks: whoever reads back waits for how it ends."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import psycopg
import pytest

from service.store import Store
from service.store.database.opening import database_at
from service.store.rows.records import Lease
from service.store.schema.migrate import migrate
from tests.support.postgres import Server, own_server
from tests.support.store.harness import claim_one, opened, said, start


class Line:
    """The connections between a store and PostgreSQL, which can be cut at the store's end alone."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._near: list[socket.socket] = []
        self._far: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """The backend is left as it is: in the middle of its COMMIT it does not look."""
        for end in self._near:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for end in (self._listener, *self._near, *self._far):
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._near.append(near)
                self._far.append(far)
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    # Its transactions would wait for the standby too.
    with own_server(autovacuum="off") as made:
        migrate(database_at(made.url))
        yield made


def set_standby(server: Server, name: str) -> None:
    """With a standby that is not there, each COMMIT waits for it."""
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute("SET synchronous_commit = local")
        admin.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
        admin.execute("SELECT pg_reload_conf()")


async def until(server: Server, query: str) -> None:
    """Ask again and again, so often that a wait for a lock of a few milliseconds is seen."""
    async with asyncio.timeout(60), await psycopg.AsyncConnection.connect(server.url, autocommit=True) as session:
        while not await (await session.execute(query.encode())).fetchall():  # noqa: ASYNC110  # another process is asked
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("what", ["append", "claim"])
async def test_what_was_in_flight_is_done_once(server: Server, what: str) -> None:
    async def do(store: Store, lease: Lease | None) -> None:
        if lease is not None:
            assert await asyncio.wrap_future(store.logs.append(lease, said("once")))
        else:
            assert [claimed.lease.run_id for claimed in await store.leases.claim(10)] == [what]

    async def scenario(line: Line) -> None:
        async with opened(database_at(server.url.replace(str(server.port), str(line.port)))) as store:
            await start(store, what)
            lease = (await claim_one(store)).lease if what == "append" else None
            set_standby(server, "nobody")
            await until(server, "SELECT 1 WHERE current_setting('synchronous_standby_names') = 'nobody'")
            done = asyncio.ensure_future(do(store, lease))
            await until(server, "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
            line.cut()
            # Done again, it waits for the row that its first time still holds.
            await until(server, "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            set_standby(server, "")
            await done
            lines = (await store.runs.whole(what, 0, 10))[2]
            assert [each.event for each in lines] == ["run_started", *(["log"] if what == "append" else [])]

    with closing(Line(server.port)) as line:
        await scenario(line)
