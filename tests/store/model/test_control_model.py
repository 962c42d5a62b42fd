"""Control against a small model: runs wait, have children, are held, rewound and cancelled, in any order.

Each rule is one command, or one move as a runner makes it; after each all tables are what the model says. On PostgreSQL
each server has a store of its own; on SQLite one server writes, and the other is its leases.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from service.core import join
from service.core.errors import Conflict, LeaseLost
from service.core.join import child_id
from service.core.moves import CallTool, Failed, Outcome
from service.core.next_move import next_move
from service.core.state import State
from service.core.transitions import Status
from service.store import Store
from service.store.commands.servers import Servers
from service.store.commands.start import Start
from service.store.database.clock import iso
from service.store.database.protocol import Database
from service.store.database.sqlite.connections import Sqlite
from service.store.rows.first_states import FirstStates
from service.store.rows.keys import Idempotency
from service.store.rows.records import Claimed
from service.store.subjects import Leases
from tests.support.store.carrying import LATER, setting, transition
from tests.support.store.control.commands import COMMANDS, patched
from tests.support.store.control.graphs import GRAPHS, MODELS, WAYS
from tests.support.store.control.model import Model, ModelRun
from tests.support.store.control.tables import CHECKED_EVERY, CHECKS, expected, found, plain
from tests.support.store.harness import BYTES_MAX, LEASE_S, Clock, clean, commit, rows_of, sql
from tests.support.store.model import Handle
from tests.support.store.rounds import run_until_each_has_succeeded

SERVERS = ("one", "two")
RUNS_MAX = 4
"""Runs, before no more are started: whatever happens is to happen to the same ones."""
Place = Callable[[], AbstractContextManager[Database]]


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
        self.leases = {name: self._server(name) for name in SERVERS}
        self.model = Model(MODELS, starts_max=join.STARTS_MAX, child_id=child_id)
        self.handles: list[Handle] = []
        self.keys: dict[tuple[str, str], tuple[str, int]] = {}
        self.rules_run = 0
        for graph in GRAPHS.values():
            self.wait(self.stores[0].graphs.add(graph))

    def _server(self, name: str) -> Leases:
        if self.database.is_shared or not self.stores:
            store = Store(self.database, server_id=name, address="", lease_s=LEASE_S, clock=self.clock)
            store.open()
            self.stores.append(store)
            return store.leases
        [store] = self.stores
        return Leases(store._writer, Servers(store._writer, name, "", LEASE_S), FirstStates(), name, LEASE_S)

    def wait(self, command: Any) -> Any:
        async def within() -> Any:
            async with asyncio.timeout(60):
                return await (command if asyncio.iscoroutine(command) else asyncio.wrap_future(command))

        return self.loop.run(within())

    def store(self, server: str) -> Store:
        return self.stores[SERVERS.index(server) % len(self.stores)]

    def holds(self, handle: Handle) -> bool:
        run = self.model.runs[handle.lease.run_id]
        return run.token == handle.lease.token and run.status is Status.RUNNING

    def a_run(self, data: st.DataObject, is_likely: Callable[[ModelRun], bool] = lambda _: False) -> ModelRun:
        """A run; more often than not one that is likely to be asked for this, if there is one."""
        likely = [run.id for run in self.model.runs.values() if is_likely(run)]
        of = likely if likely and data.draw(st.integers(0, 4)) > 0 else list(self.model.runs)
        return self.model.runs[data.draw(st.sampled_from(of))]

    def a_handle(self, data: st.DataObject) -> Handle:
        holding = [handle for handle in self.handles if self.holds(handle)]
        any_will_do = data.draw(st.integers(0, 5)) == 0
        handles = self.handles if any_will_do or not holding else holding
        return handles[data.draw(st.integers(0, len(handles) - 1))]

    @contextmanager
    def refused(self, name: str) -> Iterator[None]:
        with pytest.raises(Conflict):
            yield
        self.succeeded[name] += 1

    # Time, runs that come, and servers that go.

    @initialize()
    def begin_with_a_run(self) -> None:
        self.start("one", [1, 2])

    @rule(seconds=st.sampled_from([1, 4, 11, 31, 61]))
    def let_pass(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.model.now += seconds

    @precondition(lambda self: len(self.model.runs) < RUNS_MAX)
    @rule(server=st.sampled_from(SERVERS), items=st.lists(st.integers(0, 9), max_size=4))
    def start(self, server: str, items: list[int]) -> None:
        run_id, state = f"r{len(self.model.runs)}", {"items": items}
        start = Start(run_id, GRAPHS["tour"].id, State.of(state, BYTES_MAX), {})
        assert self.wait(self.store(server).runs.start(start)) == (run_id, True)
        self.model.start(run_id, "tour", state)
        self.succeeded["start"] += 1

    @rule(server=st.sampled_from(SERVERS), count=st.integers(1, 3))
    def claim(self, server: str, count: int) -> None:
        claimed = self.wait(self.leases[server].claim(count))
        expected = self.model.due()[:count]
        assert [claim.lease.run_id for claim in claimed] == [run.id for run in expected]
        for claim, run in zip(claimed, expected, strict=True):
            self.succeeded[self.model.claim(run, server)] += 1
            self._compare_claim(claim, run)
            self.handles.append(Handle(server, claim.lease, claim.run))

    def _compare_claim(self, claim: Claimed, run: ModelRun) -> None:
        got = claim.run
        assert (claim.lease.token, got.step, got.node) == (run.token, run.step, run.node)
        assert (got.attempt, got.failures, got.crashes) == (run.attempt, run.failures, run.crashes)
        assert (got.patches, got.max_steps, got.visits) == (run.patches, run.max_steps, run.visits)
        assert (got.waited and (got.waited.kind, got.waited.is_over)) == (
            run.wait and (run.wait.kind, run.wait.is_over)
        )

    @rule(data=st.data(), server=st.sampled_from(SERVERS), interrupted=st.booleans())
    def release(self, data: st.DataObject, server: str, interrupted: bool) -> None:
        self._claim_if_nothing_is_held(server)
        if not self.handles:
            return
        handle = self.a_handle(data)
        run, holds = self.model.runs[handle.lease.run_id], self.holds(handle)
        interrupted = interrupted and isinstance(next_move(handle.run), CallTool)
        self.wait(self.leases[handle.server].release(handle.lease, interrupted=interrupted))
        self.handles.remove(handle)  # Whoever gives a run back does no more with it.
        if holds:
            self.model.release(run, interrupted=interrupted)
            self.succeeded["interrupt" if interrupted else "release"] += 1

    def _claim_if_nothing_is_held(self, server: str) -> None:
        if not any(map(self.holds, self.handles)):
            self.claim(server, 1)

    @rule(server=st.sampled_from(SERVERS))
    def renew(self, server: str) -> None:
        held = [handle for handle in self.handles if handle.server == server]
        lost = self.wait(self.leases[server].renew([handle.lease for handle in held]))
        assert lost == [handle.lease for handle in held if not self.holds(handle)]
        for handle in filter(self.holds, held):
            self.model.runs[handle.lease.run_id].due = self.model.now + LEASE_S
            self.succeeded["renew"] += 1

    # What a server does with a run.

    @precondition(lambda self: self.handles)
    @rule(data=st.data(), way=st.sampled_from(WAYS))
    def carry(self, data: st.DataObject, way: Any) -> None:
        self._carry(self.a_handle(data), way)

    @rule(server=st.sampled_from(SERVERS), ways=st.lists(st.sampled_from(WAYS), min_size=1, max_size=5))
    def drive(self, server: str, ways: list[Any]) -> None:
        """Much at once, so that runs get far."""
        self._drive(server, ways)

    @rule(seconds=st.sampled_from([6, 11, 31]), ways=st.lists(st.sampled_from(WAYS[:7]), min_size=1, max_size=5))
    def drive_later(self, seconds: int, ways: list[Any]) -> None:
        self.let_pass(seconds)
        self._drive("one", ways)

    @rule(ways=st.lists(st.sampled_from(WAYS), min_size=1, max_size=2))
    def die(self, ways: list[Any]) -> None:
        """A server is gone with all that it has claimed."""
        self.claim("one", 100)
        self.let_pass(21)
        self._drive("two", ways)

    def _drive(self, server: str, ways: list[Any]) -> None:
        for number in range(len(ways)):
            self.claim(server, 100)
            for other, handle in enumerate([handle for handle in self.handles if self.holds(handle)]):
                self._carry(handle, ways[(number + other) % len(ways)])

    def _carry(self, handle: Handle, way: Any) -> None:
        run, store = self.model.runs[handle.lease.run_id], self.store(handle.server)
        if (move := next_move(handle.run)) is None:
            return  # As far as this server knows, it rests.
        is_call, holds = isinstance(move, CallTool), self.holds(handle)
        if is_call and handle.run.crashes:
            assert self.wait(self.leases[handle.server].begin(handle.lease)) is holds
            run.in_flight |= holds
            self.succeeded["begin"] += holds
        made = self.wait(transition(store, handle.run, self._outcome(handle, way) if is_call else None))
        done = commit(store, handle.lease, made, at=LATER)
        if not holds:
            with pytest.raises(LeaseLost):
                self.wait(done)
            self.succeeded["late commit"] += 1
            return
        was_asked = run.pause_asked
        handle.run, handle.last = self.wait(done), made
        self.succeeded[self.model.carry(run, way)] += 1
        self.succeeded["pause at a boundary"] += was_asked and not run.pause_asked
        assert (handle.run.status, handle.run.step) == (run.status, run.step)

    def _outcome(self, handle: Handle, way: Any) -> Outcome:
        return Failed(way, "") if isinstance(way, str) else setting(handle.run, **way)

    @precondition(lambda self: any(handle.last for handle in self.handles))
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """What a server does that does not know how its COMMIT went."""
        handles = [handle for handle in self.handles if handle.last]
        handle = handles[data.draw(st.integers(0, len(handles) - 1))]
        run, last = self.model.runs[handle.lease.run_id], handle.last
        if last is None or (last.run.status is Status.RUNNING and last.step is None):
            return  # It is done again, with the pause that was asked for since.
        again = commit(self.store(handle.server), handle.lease, last, at=LATER)
        is_there = (run.token, run.step) == (handle.lease.token, last.run.step)
        if is_there and run.status in (last.run.status, Status.PAUSED):
            assert self.wait(again).status is run.status
            self.succeeded["repeat"] += 1
        else:
            with pytest.raises(LeaseLost):
                self.wait(again)

    # What a person does.

    @rule(
        data=st.data(), server=st.sampled_from(SERVERS), name=st.sampled_from(["ok", "go"]), payload=st.integers(0, 2)
    )
    def send(self, data: st.DataObject, server: str, name: str, payload: int) -> None:
        run = self.a_run(data, lambda run: run.status is Status.WAITING)
        sent = self.store(server).signals.send(run.id, name, json.dumps(payload))
        if self.model.send(run, name, payload):
            assert self.wait(sent) is True
            self.succeeded["send"] += 1
        else:
            with self.refused("send to a closed run"):
                self.wait(sent)

    @rule(data=st.data(), server=st.sampled_from(SERVERS), key=st.sampled_from("kl"), payload=st.integers(0, 1))
    def send_with_a_key(self, data: st.DataObject, server: str, key: str, payload: int) -> None:
        run = self.a_run(data)
        idempotency = Idempotency(f"signal:{run.id}", key, str(payload))
        sent = self.store(server).signals.send(run.id, "ok", json.dumps(payload), idempotency)
        used = self.keys.get((run.id, key))
        if used is not None and used[1] == payload:
            assert self.wait(sent) is False
            self.succeeded["send again"] += 1
        elif used is not None or not self.model.send(run, "ok", payload):
            with self.refused("send to a closed run" if used is None else "send another with the key"):
                self.wait(sent)
        else:
            assert self.wait(sent) is True
            self.keys[run.id, key] = ("ok", payload)

    @rule(data=st.data(), server=st.sampled_from(SERVERS), then=st.sampled_from(["nothing", "resume", "carry"]))
    def pause(self, data: st.DataObject, server: str, then: str) -> None:
        self._claim_if_nothing_is_held(server)
        run = self.a_run(data, lambda run: run.status is Status.RUNNING)
        paused = self.store(server).control.pause(run.id)
        if not self.model.pause(run):
            with self.refused("pause what is over"):
                self.wait(paused)
            return
        assert self.wait(paused) == run.status
        self.succeeded["ask to pause" if run.pause_asked else "pause"] += 1
        if run.pause_asked and then == "resume":
            self._resume(run, server)
        for handle in self.handles:
            if then == "carry" and handle.lease.run_id == run.id and self.holds(handle):
                self._carry(handle, data.draw(st.sampled_from(WAYS)))

    @rule(data=st.data(), server=st.sampled_from(SERVERS), way=st.sampled_from(WAYS[:7]), more=st.integers(0, 7))
    def resume(self, data: st.DataObject, server: str, way: Any, more: int) -> None:
        is_asked = any(run.pause_asked and run.status is Status.RUNNING for run in self.model.runs.values())
        held = (Status.RUNNING,) if is_asked else (Status.PAUSED, Status.FAILED)
        run = self.a_run(data, lambda run: run.status in held and run.pause_asked >= is_asked)
        self._resume(run, server, way if more % 4 == 1 else None, run.step + more if more > 5 else None)

    def _resume(self, run: ModelRun, server: str, patch: Any = None, max_steps: int | None = None) -> None:
        resumed = self.store(server).control.resume(run.id, patch and patched(**patch), max_steps)
        if (name := self.model.resume(run, patch, max_steps)) is not None:
            assert self.wait(resumed) == run.status
            self.succeeded[name] += 1
        else:
            with self.refused("resume what is not held"):
                self.wait(resumed)

    @precondition(lambda self: len(self.model.runs) > RUNS_MAX)
    @rule(data=st.data(), server=st.sampled_from(SERVERS))
    def cancel(self, data: st.DataObject, server: str) -> None:
        run = self.a_run(data, lambda run: run.status is Status.FAILED or run.parent is not None)
        cancelled = self.store(server).control.cancel(run.id)
        if self.model.cancel(run):
            self.wait(cancelled)
            self.succeeded["cancel"] += 1
        else:
            with self.refused("cancel what has ended"):
                self.wait(cancelled)

    @precondition(lambda self: len(self.model.runs) < 2 * RUNS_MAX)
    @rule(data=st.data(), server=st.sampled_from(SERVERS))
    def fork(self, data: st.DataObject, server: str) -> None:
        run, store = self.a_run(data, lambda run: run.step > 0), self.store(server)
        step = min(data.draw(st.integers(0, run.step + 1)), run.step)
        branch = self.wait(store.history.branch(run.id, step))
        state = {key: plain(value) for key, value in branch.state.to_object().items()}
        assert state == run.states[step]
        assert (branch.graph_id, branch.step) == (GRAPHS[run.graph].id, step)
        assert branch.node == (run.steps[step - 1][3] if step else run.began_at)
        run_id, node = f"r{len(self.model.runs)}", branch.node or MODELS[run.graph].start
        start = Start(run_id, branch.graph_id, branch.state, {}, node, (run.id, step))
        assert self.wait(store.runs.start(start)) == (run_id, True)
        self.model.start(run_id, run.graph, run.states[step], node, forked_from=(run.id, step))
        self.succeeded["fork" if branch.node else "fork at an end"] += 1

    # What the tables hold.

    @invariant()
    def all_agree(self) -> None:
        self.rules_run += 1
        if self.rules_run % CHECKED_EVERY == 0:
            self._compare()

    def _compare(self) -> None:
        said, there = expected(self.model), found(self.session, self.start_of_time)
        for name, rows in there.items():
            assert rows == said[name], name
        now = self.clock.now if self.database.is_shared else iso(self.clock.now)
        for name, query in CHECKS.items():
            assert rows_of(self.session, query, *[now] * query.count("?")) == [], name

    def teardown(self) -> None:
        try:
            self._compare()
        finally:
            for store in self.stores:
                self.wait(store.close())
            self.loop.close()
            self.opened.close()


@pytest.fixture(autouse=True)
def _few_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit starts one child, so that starting them takes several."""
    monkeypatch.setattr(join, "STARTS_MAX", 1)


def test_control_agrees_with_a_model_on_sqlite(migrated: Path) -> None:
    @contextmanager
    def copied() -> Iterator[Database]:
        with tempfile.TemporaryDirectory() as folder:
            yield Sqlite(Path(shutil.copy(migrated, folder)))

    run_until_each_has_succeeded(partial(Machine, copied), COMMANDS, examples=6, steps=60)


def test_control_agrees_with_a_model_on_postgresql(server_database: Database) -> None:
    @contextmanager
    def emptied() -> Iterator[Database]:
        clean(server_database)
        yield server_database

    run_until_each_has_succeeded(partial(Machine, emptied), COMMANDS, examples=4, steps=60)
