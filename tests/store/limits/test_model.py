"""The queue of a limit against a model: whatever happens to runs, servers and the limit, slots go to the first.

The model is what the rules say: an attempt holds a slot while its run's lease and step are the same, and a run gets a
slot if fewer runs come before it than slots are free. At the end all runs complete, so that nobody is stuck.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.core.queueing.limits import Limit, Place
from service.core.run import WaitKind
from service.core.transitions import Status
from service.store import Store
from service.store.database.clock import microseconds
from service.store.database.protocol import Database
from service.store.rows.records import Claimed
from tests.support.store.harness import LEASE_S, Clock, ask, clean, commit, failure, opened
from tests.support.store.limits.limiting import LIMIT, enter, finish, queue_limited

ACTIONS = (
    *("start", "start", "claim", "claim", "enter", "enter", "finish", "fail", "cancel", "pause", "resume"),
    *("release", "die", "wait", "limit", "unlimit"),
)
drawn = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 7)), min_size=10, max_size=40)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Database:
    database: Database = request.getfixturevalue("file" if request.param == "sqlite" else "kept")
    return database


@dataclass
class World:
    """The runs of a store, and what the model knows of them."""

    store: Store
    database: Database
    clock: Clock
    max: int | None = None
    priorities: dict[str, int] = field(default_factory=dict)
    claimed: dict[str, Claimed] = field(default_factory=dict)
    """Runs that a server carries, and that have no slot yet."""
    inside: dict[str, Claimed] = field(default_factory=dict)

    def chosen(self, runs: dict[str, Claimed], number: int) -> str | None:
        names = sorted(runs)
        return names[number % len(names)] if names else None

    def open_runs(self, *statuses: str) -> list[str]:
        rows = ask(self.database, "SELECT id, status FROM runs ORDER BY id")
        return [run_id for run_id, status in rows if status in statuses]

    async def do(self, action: str, number: int) -> None:
        match action:
            case "start":
                run_id = f"{len(self.priorities):02}"
                self.priorities[run_id] = number % 3
                await queue_limited(self.store, run_id, number % 3)
            case "claim":
                self.claimed |= {each.run.id: each for each in await self.store.leases.claim(1 + number)}
            case "enter" if (chosen := self.chosen(self.claimed, number)) is not None:
                await self.enter(chosen)
            case "finish" | "fail" if (chosen := self.chosen(self.inside, number)) is not None:
                claimed = self.inside.pop(chosen)
                if action == "finish":
                    await finish(self.store, claimed)
                else:
                    await commit(self.store, claimed.lease, failure(claimed.run))
            case "release" if (chosen := self.chosen(self.claimed | self.inside, number)) is not None:
                claimed = (self.claimed if chosen in self.claimed else self.inside).pop(chosen)
                await self.store.leases.release(claimed.lease, interrupted=bool(number % 2))
            case "cancel" | "pause" | "resume":
                await self.steer(action, number)
            case "die":
                # All leases run out, and whoever claims next takes the runs over.
                self.clock.advance(LEASE_S + 1)
                self.claimed.clear()
                self.inside.clear()
            case "wait":
                self.clock.advance(number / 2)
            case "limit":
                self.max = 1 + number % 4
                await self.store.limits.put(LIMIT, Limit(self.max))
            case "unlimit" if self.max is not None:
                self.max = None
                await self.store.limits.delete(LIMIT)

    async def steer(self, action: str, number: int) -> None:
        """Cancel, pause or resume a run that no server carries, or cancel one that has a slot."""
        statuses = ("paused", "failed") if action == "resume" else ("queued", "waiting")
        names = self.open_runs(*statuses) + (sorted(self.inside) if action == "cancel" else [])
        if not names:
            return
        run_id = names[number % len(names)]
        await getattr(self.store.control, action)(run_id)
        self.inside.pop(run_id, None)

    async def enter(self, run_id: str) -> None:
        """Let a run ask for a slot, and compare the answer with the rules."""
        claimed = self.claimed.pop(run_id)
        waited = claimed.run.waited
        now_us = microseconds(self.clock.now)
        since_us = waited.since_us if waited is not None and waited.kind is WaitKind.LIMIT else now_us
        place = Place(-self.priorities[run_id], since_us, run_id)
        before, overdue = self.queue_before(place)
        held = len(self.holders() - {run_id})
        run = await enter(self.store, claimed)
        is_in = run.status is Status.RUNNING
        if is_in:
            self.inside[run_id] = Claimed(claimed.lease, run)
        if self.max is None:
            assert is_in
        elif is_in:
            assert held + before < self.max, (held, before)
        else:
            assert held + before + overdue >= self.max, (held, before, overdue)

    def holders(self) -> set[str]:
        """Return the runs with slots: those of dead servers hold theirs until somebody takes them over."""
        rows = ask(
            self.database,
            "SELECT r.id FROM slots s JOIN runs r ON r.id = s.run_id WHERE r.lease_token = s.lease_token"
            " AND r.step = s.step AND r.lease_owner IS NOT NULL",
        )
        found = {run_id for (run_id,) in rows}
        assert self.inside.keys() <= found
        return found

    def queue_before(self, place: Place) -> tuple[int, int]:
        """Return how many runs wait before `place`, and how many of those have been woken for too long to count."""
        rows = ask(
            self.database,
            "SELECT w.rank, w.since, r.id, r.due_at FROM waits w JOIN runs r ON r.id = w.run_id"
            " WHERE w.kind = 'limit' AND r.status IN ('waiting', 'running')",
        )
        lapsed_us = microseconds(self.clock.now) - round(LEASE_S * 1e6)
        places = [
            (Place(rank, microseconds(since), run_id), due_at is not None and microseconds(due_at) <= lapsed_us)
            for rank, since, run_id, due_at in rows
        ]
        ahead = [is_overdue for other, is_overdue in places if other < place and other.run_id != place.run_id]
        return ahead.count(False), ahead.count(True)

    async def drain(self) -> None:
        """Let all runs go on, and complete those that get a slot. Each round at least one does."""
        for run_id in self.open_runs("paused"):
            await self.store.control.resume(run_id)
        for _ in range(200):
            self.clock.advance(6)  # Longer than a backoff.
            self.claimed |= {each.run.id: each for each in await self.store.leases.claim(100)}
            for run_id in sorted(self.claimed):
                await self.enter(run_id)
            for claimed in self.inside.values():
                await finish(self.store, claimed)
            self.inside.clear()
            if not self.open_runs("queued", "waiting", "running", "paused"):
                return
        raise AssertionError(f"runs are stuck: {self.open_runs('queued', 'waiting', 'running', 'paused')}")


@given(actions=drawn)
@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_slots_go_to_the_first_and_nobody_is_stuck(database: Database, actions: list[tuple[str, int]]) -> None:
    clean(database)
    clock = Clock()
    async with opened(database, clock) as store:
        world = World(store, database, clock)
        for action, number in actions:
            await world.do(action, number)
        await world.drain()
        assert ask(database, "SELECT run_id FROM waits") == []
