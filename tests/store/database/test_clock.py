"""One clock, the database's: a server whose own is wrong by hours neither loses a lease nor takes one."""

from __future__ import annotations

import asyncio
import datetime as real
import sys
import time
from typing import Any

import pytest

from service.store.commands.servers import Servers
from service.store.database.clock import from_database, iso
from service.store.database.protocol import Database
from service.store.rows.first_states import FirstStates
from service.store.subjects import Leases
from tests.support.store.harness import LEASE_S, ask, claim_one, commit, dump, opened, said, start, success

NOW = {
    "sqlite": "SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
    "postgresql": "SELECT clock_timestamp()",
}


class _Kind(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, real.datetime)


def wrong_by(hours: float) -> type:
    """`datetime.datetime` of a host whose clock is wrong."""
    shift = real.timedelta(hours=hours)

    class Wrong(real.datetime, metaclass=_Kind):
        @classmethod
        def now(cls, tz: real.tzinfo | None = None) -> Any:
            return real.datetime.now(tz) + shift

        @classmethod
        def utcnow(cls) -> Any:
            return real.datetime.now(real.UTC).replace(tzinfo=None) + shift

    return Wrong


def set_host_clock(patch: pytest.MonkeyPatch, hours: float) -> None:
    """Whatever the store could ask the host for: `time.time`, and `datetime` in each of its modules."""
    wrong, right, right_ns = wrong_by(hours), time.time, time.time_ns
    patch.setattr(time, "time", lambda: right() + hours * 3600)
    patch.setattr(time, "time_ns", lambda: right_ns() + int(hours * 3600 * 10**9))
    for name, module in list(sys.modules.items()):
        if name.startswith("service.store") and getattr(module, "datetime", None) is real.datetime:
            patch.setattr(module, "datetime", wrong)


def times(database: Database) -> list[str]:
    """Every durable time in the tables but those that leases end."""
    values = [value for rows in dump(database).values() for row in rows for value in row]
    return [value for value in values if isinstance(value, str) and value[:2] == "20" and value[-1] == "Z"]


def database_time(database: Database) -> real.datetime:
    [(now,)] = ask(database, NOW[database.dialect])
    return from_database(now)


@pytest.mark.parametrize("hours", [-5, 5])
async def test_a_server_whose_clock_is_wrong_notes_the_databases_time(
    database: Database, monkeypatch: pytest.MonkeyPatch, hours: float
) -> None:
    before = database_time(database)
    with monkeypatch.context() as patch:
        set_host_clock(patch, hours)

        async def scenario() -> None:
            async with opened(database) as store:
                await start(store, "r")
                claimed = await claim_one(store)
                await asyncio.wrap_future(store.logs.append(claimed.lease, said("x")))
                await commit(store, claimed.lease, success(claimed.run, n=1))
                await store.servers.join()
                await asyncio.wrap_future(store.leases.renew([claimed.lease]))

        await scenario()
    second = real.timedelta(seconds=1)  # To the millisecond, and by the monotonic clock.
    first, last = iso(before - second), iso(database_time(database) + second + real.timedelta(seconds=LEASE_S))
    found = times(database)
    assert len(found) >= 12
    assert [moment for moment in found if not first <= moment <= last] == []


@pytest.mark.parametrize("hours", [-5, 5])
async def test_servers_whose_clocks_differ_by_hours_respect_each_others_leases(
    database: Database, monkeypatch: pytest.MonkeyPatch, hours: float
) -> None:
    async with opened(database) as store:
        servers = Servers(store._writer, "two", "", LEASE_S)
        other = Leases(store._writer, servers, FirstStates(), "two", LEASE_S)
        for name in "ab":
            await start(store, name)
        mine = await store.leases.claim(1)
        with monkeypatch.context() as patch:
            set_host_clock(patch, hours)
            # What was queued just now is due, what is leased is not.
            theirs = await other.claim(10)
            assert [claim.lease.run_id for claim in (*mine, *theirs)] == ["a", "b"]
            assert await other.claim(10) == []
            assert await asyncio.wrap_future(other.renew([theirs[0].lease])) == []
        assert await store.leases.claim(10) == []
        for claimed in (*mine, *theirs):
            await commit(store, claimed.lease, success(claimed.run, n=1))
