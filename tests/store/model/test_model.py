"""The store against a dict: servers start, claim, lose and carry runs in any order, and all agree on all of it.

On PostgreSQL each server has a store of its own; on SQLite one server writes, and the others are its leases.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from service.core import codec
from service.core.errors import Conflict, LeaseLost
from service.core.next_move import next_move
from service.core.run import Run, Transition
from service.core.transitions import Status
from service.store import Store
from service.store.commands.servers import Servers
from service.store.database.clock import from_database
from service.store.database.protocol import Database
from service.store.database.sqlite.connections import Sqlite
from service.store.rows.first_states import FirstStates
from service.store.subjects import Leases
from tests.support.core.strategies import json_values
from tests.support.store.harness import (
    COUNTER,
    LEASE_S,
    Clock,
    clean,
    commit,
    commit_chain,
    failure,
    key_of,
    rows_of,
    said,
    sql,
    start_of,
    success,
)
from tests.support.store.model import Handle, ModelRun, ModelServers
from tests.support.store.rounds import run_until_each_has_succeeded

SERVERS = ("one", "two", "three")
COMMANDS = {
    *("start", "start again", "conflict", "claim", "begin", "step", "end", "fail", "repeat", "release"),
    *("interrupt", "renew", "append", "lost", "chain", "chain lost", "repeat chain"),
}
WAYS = (*["step"] * 3, "end", "fail")
OWNERS_COMMANDS = {"seize"}
SHARERS_COMMANDS = {"join", "share", "share less"}

Place = Callable[[], AbstractContextManager[Database]]


@dataclass(frozen=True, slots=True)
class Server:
    """One server's commands."""

    store: Store
    servers: Servers
    leases: Leases


class Machine(RuleBasedStateMachine):
    def __init__(self, place: Place, succeeded: Counter[str]) -> None:
        super().__init__()
        self.succeeded = succeeded
        self.opened = ExitStack()
        self.database = self.opened.enter_context(place())
        self.session = self.opened.enter_context(sql(self.database))
        self.clock = Clock()
        self.start_of_time = self.clock.now
        self.loop = asyncio.Runner()
        self.stores: list[Store] = []
        self.servers = {name: self._server(name) for name in SERVERS}
        self.runs: dict[str, ModelRun] = {}
        self.keys: dict[str, tuple[str, str]] = {}
        self.handles: list[Handle] = []
        self.seen = ModelServers()
        for store in self.stores:
            self.wait(store.graphs.add(COUNTER))

    def _server(self, name: str) -> Server:
        if self.database.is_shared or not self.stores:
            store = Store(self.database, server_id=name, address="", lease_s=LEASE_S, clock=self.clock)
            store.open()
            self.stores.append(store)
            return Server(store, store.servers, store.leases)
        [store] = self.stores
        servers = Servers(store._writer, name, "", LEASE_S)
        return Server(store, servers, Leases(store._writer, servers, FirstStates(), name, LEASE_S))

    def wait(self, command: Any) -> Any:
        async def within() -> Any:
            async with asyncio.timeout(60):
                return await (command if asyncio.iscoroutine(command) else asyncio.wrap_future(command))

        return self.loop.run(within())

    @property
    def now(self) -> float:
        return (self.clock.now - self.start_of_time).total_seconds()

    def handle(
        self, data: st.DataObject, is_likely: Callable[[Handle], object] | None = None
    ) -> tuple[Handle, ModelRun, bool]:
        """A handle, more often than not one that is likely or else one that holds, its run, and whether it holds."""
        likely = [handle for handle in self.handles if (is_likely or self.holds)(handle)]
        any_will_do = data.draw(st.integers(0, 3)) == 0
        handle = data.draw(st.sampled_from(self.handles if any_will_do or not likely else likely))
        return handle, self.runs[handle.lease.run_id], self.holds(handle)

    def store_of(self, handle: Handle) -> Store:
        return self.servers[handle.server].store

    def holds(self, handle: Handle) -> bool:
        run = self.runs[handle.lease.run_id]
        return run.token == handle.lease.token and run.status is Status.RUNNING

    @initialize()
    def begin_with_a_run_each(self) -> None:
        for server in SERVERS:
            self.start(server, {})
            self.claim(server, 1, holding=False)

    # Time, and runs that come.

    @rule(seconds=st.sampled_from([1, 5, 20, 4000]))
    def let_pass(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(server=st.sampled_from(SERVERS), state=st.dictionaries(st.sampled_from("abc"), json_values, max_size=2))
    def start(self, server: str, state: dict[str, Any]) -> None:
        run_id = f"r{len(self.runs)}"
        initial = {"n": 0, **state}
        assert self.wait(self.servers[server].store.runs.start(start_of(run_id, state=initial))) == (run_id, True)
        self.runs[run_id] = ModelRun(run_id, self.now, [initial])
        self.succeeded["start"] += 1

    @rule(server=st.sampled_from(SERVERS), key=st.sampled_from("kl"), body=st.sampled_from("xy"))
    def start_with_a_key(self, server: str, key: str, body: str) -> None:
        run_id = f"r{len(self.runs)}"
        start = self.servers[server].store.runs.start(start_of(run_id), key_of(key, body))
        used = self.keys.get(key)
        if used is None:
            assert self.wait(start) == (run_id, True)
            self.runs[run_id] = ModelRun(run_id, self.now, [{"n": 0}])
            self.keys[key] = (body, run_id)
        elif used[0] == body:
            assert self.wait(start) == (used[1], False)
            self.succeeded["start again"] += 1
        else:
            with pytest.raises(Conflict):
                self.wait(start)
            self.succeeded["conflict"] += 1

    # Leases.

    @rule(server=st.sampled_from(SERVERS), count=st.integers(1, 3), holding=st.booleans())
    def claim(self, server: str, count: int, holding: bool) -> None:
        carried = {handle.lease.run_id for handle in self.handles if handle.server == server} if holding else set()
        claimed = self.wait(self.servers[server].leases.claim(count, carried))
        expected = self._due(server, count, carried)
        assert [claim.lease.run_id for claim in claimed] == [run.run_id for run in expected]
        for claim, run in zip(claimed, expected, strict=True):
            run.claimed(server, self.now + LEASE_S)
            got = claim.run
            assert (claim.lease.token, got.step, got.node) == (run.token, run.step, "a")
            assert (got.attempt, got.crashes) == (run.attempt, run.crashes)
            assert got.state.to_text() == codec.encode(run.states[-1])
            self.handles.append(Handle(server, claim.lease, got))
            self.succeeded["claim"] += 1

    def _due(self, server: str, count: int, carried: set[str]) -> list[ModelRun]:
        while True:
            waiting = [run for run in self.runs.values() if run.due_at is not None and run.due_at <= self.now]
            due = sorted(waiting, key=lambda run: (run.due_at, run.run_id))[:count]
            mine = [run for run in due if run.run_id in carried and run.owner == server]
            if not mine:
                return [run for run in due if run.run_id not in carried]
            for run in mine:
                run.due_at = self.now + LEASE_S

    @rule(server=st.sampled_from(SERVERS))
    def renew(self, server: str) -> None:
        held = [handle.lease for handle in self.handles if handle.server == server]
        lost = self.wait(self.servers[server].leases.renew(held))
        expected = []
        for lease in held:
            run = self.runs[lease.run_id]
            if run.status is Status.RUNNING and run.token == lease.token:
                run.due_at = self.now + LEASE_S
                self.succeeded["renew"] += 1
            else:
                expected.append(lease)
        assert lost == expected
        self.seen.note(server, self.now, len(held))

    @precondition(lambda self: not self.database.is_shared)
    @rule(server=st.sampled_from(SERVERS))
    def seize(self, server: str) -> None:
        self.wait(self.servers[server].leases.seize())
        self.seen.forget(self.now)
        self.seen.note(server, self.now, 0)
        for run in self.runs.values():
            if run.status is Status.RUNNING:
                run.due_at = self.now
                self.succeeded["seize"] += 1

    @precondition(lambda self: self.database.is_shared)
    @rule(server=st.sampled_from(SERVERS))
    def join(self, server: str) -> None:
        self.wait(self.servers[server].servers.join())
        forgotten = self.seen.join(server, self.now)
        self.succeeded["forget" if forgotten else "join"] += 1

    @precondition(lambda self: self.database.is_shared)
    @rule(server=st.sampled_from(SERVERS), count=st.integers(1, 40), active=st.sampled_from([0, 10, 30, 60]))
    def share(self, server: str, count: int, active: int) -> None:
        expected = self.seen.share(server, self.now, count, active)
        assert self.wait(self.servers[server].servers.share(count, active)) == expected
        self.succeeded["share" if expected == count else "share less"] += 1

    @precondition(lambda self: self.handles)
    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        handle, run, holds = self.handle(data)
        assert self.wait(self.servers[handle.server].leases.begin(handle.lease)) is holds
        if holds:
            run.in_flight = True
            self.succeeded["begin"] += 1

    @precondition(lambda self: self.handles)
    @rule(data=st.data(), interrupted=st.booleans())
    def release(self, data: st.DataObject, interrupted: bool) -> None:
        handle, run, holds = self.handle(data)
        self.wait(self.servers[handle.server].leases.release(handle.lease, interrupted=interrupted))
        if holds:
            run.released(self.now, interrupted=interrupted)
            self.succeeded["interrupt" if interrupted else "release"] += 1

    # Steps and lines.

    @precondition(lambda self: self.handles)
    @rule(data=st.data(), way=st.sampled_from(WAYS), line_count=st.integers(0, 3))
    def commit(self, data: st.DataObject, way: str, line_count: int) -> None:
        handle, run, holds = self.handle(data)
        if next_move(handle.run) is None:
            return  # As far as this server knows, the run is over.
        transition = self._transition(handle.run, data, way)
        if not holds or handle.run.step != run.step:
            with pytest.raises(LeaseLost):
                self.wait(commit(self.store_of(handle), handle.lease, transition, said(*["x"] * line_count)))
            self.succeeded["lost"] += 1
            return
        handle.run = self.wait(commit(self.store_of(handle), handle.lease, transition, said(*["x"] * line_count)))
        handle.last, handle.last_chain = transition, None
        run.moved(transition, line_count)
        self.succeeded["fail" if transition.error else way] += 1

    @precondition(lambda self: self.handles)
    @rule(data=st.data(), ways=st.lists(st.just("step"), min_size=1, max_size=4), last=st.sampled_from(WAYS))
    def commit_chain(self, data: st.DataObject, ways: list[str], last: str) -> None:
        handle, run, holds = self.handle(data)
        if next_move(handle.run) is None:
            return
        made: list[Transition] = []
        for way in [*ways, last]:
            made.append(self._transition(made[-1].run if made else handle.run, data, way))
        after = self.wait(self._chain(handle, made))
        if not holds or handle.run.step != run.step:
            assert after is None
            self.succeeded["chain lost"] += 1
            return
        assert after == made[-1].run
        handle.run, handle.last, handle.last_chain = made[-1].run, None, made
        for transition in made:
            run.moved(transition, 1)
        self.succeeded["chain"] += 1
        if data.draw(st.booleans()):
            self._repeat(handle, run, made)

    async def _chain(self, handle: Handle, made: list[Transition]) -> Run | None:
        return await commit_chain(self.store_of(handle), handle.lease, made, said("x"))

    @precondition(lambda self: any(handle.last_chain for handle in self.handles))
    @rule(data=st.data())
    def repeat_a_chain(self, data: st.DataObject) -> None:
        handle, run, _ = self.handle(data, lambda handle: handle.last_chain)
        if made := handle.last_chain:
            self._repeat(handle, run, made)

    def _repeat(self, handle: Handle, run: ModelRun, made: list[Transition]) -> None:
        again, last = self.wait(self._chain(handle, made)), made[-1].run
        if (run.token, run.step, run.status) == (handle.lease.token, last.step, last.status):
            assert again == last
            self.succeeded["repeat chain"] += 1
        else:
            assert again is None

    def _transition(self, run: Run, data: st.DataObject, way: str) -> Transition:
        if way == "fail":
            return failure(run)
        further = data.draw(st.dictionaries(st.sampled_from("abc"), json_values, max_size=2))
        return success(run, **further, n=run.step + 1 if way == "step" else 1000)

    @precondition(lambda self: any(handle.last for handle in self.handles))
    @rule(data=st.data())
    def repeat_a_commit(self, data: st.DataObject) -> None:
        handle, run, _ = self.handle(data, lambda handle: handle.last)
        last = handle.last
        if last is None:
            return
        again = commit(self.store_of(handle), handle.lease, last, said("again"))
        if (run.token, run.step, run.status) == (handle.lease.token, last.run.step, last.run.status):
            assert self.wait(again) == last.run
            self.succeeded["repeat"] += 1
        else:
            with pytest.raises(LeaseLost):
                self.wait(again)

    @precondition(lambda self: self.handles)
    @rule(data=st.data(), count=st.integers(1, 4))
    def append(self, data: st.DataObject, count: int) -> None:
        handle, run, holds = self.handle(data)
        assert self.wait(self.store_of(handle).logs.append(handle.lease, said(*["x"] * count))) is holds
        if holds:
            run.events += ["log"] * count
            self.succeeded["append"] += 1

    # What everybody can read.

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), server=st.sampled_from(SERVERS))
    def look(self, data: st.DataObject, server: str) -> None:
        self._compare(self.runs[data.draw(st.sampled_from(sorted(self.runs)))], self.servers[server].store)

    @rule()
    def look_at_servers(self) -> None:
        rows = rows_of(self.session, "SELECT id, seen_at, active FROM servers ORDER BY id")
        seen = [(name, (from_database(at) - self.start_of_time).total_seconds(), active) for name, at, active in rows]
        assert seen == self.seen.rows()

    def _compare(self, run: ModelRun, store: Store) -> None:
        record, state, lines = self.wait(store.runs.whole(run.run_id, 0, 1000))
        assert (record.status, record.step) == (run.status, run.step)
        assert state.to_text() == codec.encode(run.states[-1])
        assert [(line.seq, line.event) for line in lines] == list(enumerate(run.events, 1))
        assert record.last_seq == len(run.events)
        assert (record.error is not None) is (run.status is Status.FAILED)
        states = rows_of(self.session, "SELECT state FROM v_states WHERE run_id = ? ORDER BY step", run.run_id)
        assert [state for (state,) in states] == [codec.encode(state) for state in run.states]
        steps = self.wait(store.history.page(run.run_id, 0, 1000)).items
        assert [step.step for step in steps] == list(range(1, run.step + 1))
        tried = rows_of(self.session, "SELECT step, attempt, error FROM attempts WHERE run_id = ?", run.run_id)
        assert sorted((step, attempt, json.loads(error)["type"]) for step, attempt, error in tried) == sorted(
            run.lost_attempts
        )

    def teardown(self) -> None:
        try:
            for number, run in enumerate(self.runs.values()):
                self._compare(run, self.stores[number % len(self.stores)])
            self.look_at_servers()
        finally:
            for store in self.stores:
                self.wait(store.close())
            self.loop.close()
            self.opened.close()


def test_the_store_agrees_with_a_dict_on_sqlite(migrated: Path) -> None:
    @contextmanager
    def copied() -> Iterator[Database]:
        with tempfile.TemporaryDirectory() as folder:
            yield Sqlite(Path(shutil.copy(migrated, folder)))

    run_until_each_has_succeeded(partial(Machine, copied), COMMANDS | OWNERS_COMMANDS, examples=5, steps=50)


def test_the_store_agrees_with_a_dict_on_postgresql(server_database: Database) -> None:
    @contextmanager
    def emptied() -> Iterator[Database]:
        clean(server_database)
        yield server_database

    run_until_each_has_succeeded(partial(Machine, emptied), COMMANDS | SHARERS_COMMANDS, examples=4, steps=50)
