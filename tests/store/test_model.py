"""The store against a dict: two servers start, claim, lose and carry runs in any order, and both agree on all of it."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from service.core import codec
from service.core.errors import Conflict, LeaseLost
from service.core.run import Condemn, Run, Transition, after, next_move
from service.core.transitions import Status, is_legal
from service.store import Store
from service.store.leases import Leases
from service.store.records import Lease
from service.store.servers import Servers
from service.store.sqlite import Sqlite
from tests.core.strategies import json_values
from tests.store.support import COUNTER, LEASE_S, Clock, ask, commit, failure, key_of, said, start_of, success

SERVERS = ("one", "two")
VERBS = {
    *("start", "start again", "conflict", "claim", "begin", "step", "end", "fail", "repeat", "release"),
    *("interrupt", "renew", "seize", "append", "lost"),
}


@dataclass
class ModelRun:
    """What the store should hold of one run."""

    run_id: str
    due_at: float | None
    states: list[dict[str, Any]]
    status: Status = Status.QUEUED
    step: int = 0
    owner: str | None = None
    token: int = 0
    attempt: int = 1
    crashes: int = 0
    in_flight: bool = False
    seen_before: bool = False
    events: list[str] = field(default_factory=list)
    lost_attempts: list[tuple[int, int, str]] = field(default_factory=list)

    def become(self, status: Status) -> None:
        assert is_legal(self.status, status), (self.status, status)
        self.status = status
        if status is not Status.RUNNING:
            self.owner = None
            self.due_at = None

    def claimed(self, server: str, until: float) -> None:
        taken_over = self.status is Status.RUNNING
        crashed = taken_over and self.in_flight
        if crashed:
            self.lost_attempts.append((self.step + 1, self.attempt, "server_lost"))
            self.attempt += 1
            self.crashes += 1
        self.events.append("run_resumed" if taken_over or self.seen_before else "run_started")
        self.become(Status.RUNNING)
        self.in_flight = not taken_over
        self.seen_before = True
        self.owner, self.due_at = server, until
        self.token += 1

    def moved(self, transition: Transition, line_count: int) -> None:
        self.events += ["log"] * line_count + [line.event.value for line in transition.lines]
        self.crashes = 0
        self.become(transition.run.status)
        if transition.step is None:
            assert transition.error is not None
            if transition.error.type == "crash_loop":
                self.attempt -= 1  # The last attempt counts, and is noted as lost already.
            else:
                self.lost_attempts.append((self.step + 1, self.attempt, transition.error.type))
        else:
            self.step += 1
            self.states.append(transition.run.state.to_object())
            self.attempt = 1
            self.in_flight = True


@dataclass(repr=False)
class Handle:
    """What a server believes to hold; it may be long gone."""

    server: str
    lease: Lease
    run: Run
    last: Transition | None = None


class Machine(RuleBasedStateMachine):
    def __init__(self, migrated: Path, succeeded: Counter[str]) -> None:
        super().__init__()
        self.succeeded = succeeded
        self.folder = tempfile.TemporaryDirectory()
        self.database = Sqlite(Path(shutil.copy(migrated, self.folder.name)))
        self.clock = Clock()
        self.start_of_time = self.clock.now
        self.loop = asyncio.Runner()
        self.store = Store(self.database, server_id="one", address="", lease_s=LEASE_S, clock=self.clock)
        self.store.open()
        self.leases = {
            name: Leases(self.store._writer, Servers(self.store._writer, name, "", LEASE_S), name, LEASE_S)
            for name in SERVERS
        }
        self.runs: dict[str, ModelRun] = {}
        self.keys: dict[str, tuple[str, str]] = {}
        self.handles: list[Handle] = []
        self.wait(self.store.graphs.add(COUNTER))

    def wait(self, verb: Any) -> Any:
        async def within() -> Any:
            async with asyncio.timeout(10):
                return await (verb if asyncio.iscoroutine(verb) else asyncio.wrap_future(verb))

        return self.loop.run(within())

    @property
    def now(self) -> float:
        return (self.clock.now - self.start_of_time).total_seconds()

    def handle(self, data: st.DataObject) -> tuple[Handle, ModelRun, bool]:
        """A handle, more often than not one that holds, its run, and whether it does."""
        holding = [handle for handle in self.handles if self.holds(handle)]
        any_will_do = data.draw(st.integers(0, 3)) == 0
        handle = data.draw(st.sampled_from(self.handles if any_will_do or not holding else holding))
        return handle, self.runs[handle.lease.run_id], self.holds(handle)

    def holds(self, handle: Handle) -> bool:
        run = self.runs[handle.lease.run_id]
        return run.token == handle.lease.token and run.status is Status.RUNNING

    @initialize()
    def begin_with_two_runs(self) -> None:
        for server in SERVERS:
            self.start({})
            self.claim(server, 1, holding=False)

    # Time, and runs that come.

    @rule(seconds=st.sampled_from([1, 5, 20]))
    def let_pass(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(state=st.dictionaries(st.sampled_from("abc"), json_values, max_size=2))
    def start(self, state: dict[str, Any]) -> None:
        run_id = f"r{len(self.runs)}"
        initial = {"n": 0, **state}
        assert self.wait(self.store.runs.start(start_of(run_id, state=initial))) == (run_id, True)
        self.runs[run_id] = ModelRun(run_id, self.now, [initial])
        self.succeeded["start"] += 1

    @rule(key=st.sampled_from("kl"), body=st.sampled_from("xy"))
    def start_with_a_key(self, key: str, body: str) -> None:
        run_id = f"r{len(self.runs)}"
        start = self.store.runs.start(start_of(run_id), key_of(key, body))
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
        claimed = self.wait(self.leases[server].claim(count, carried))
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
        lost = self.wait(self.leases[server].renew(held))
        expected = []
        for lease in held:
            run = self.runs[lease.run_id]
            if run.status is Status.RUNNING and run.token == lease.token:
                run.due_at = self.now + LEASE_S
                self.succeeded["renew"] += 1
            else:
                expected.append(lease)
        assert lost == expected

    @rule(server=st.sampled_from(SERVERS))
    def seize(self, server: str) -> None:
        self.wait(self.leases[server].seize())
        for run in self.runs.values():
            if run.status is Status.RUNNING:
                run.due_at = self.now
                self.succeeded["seize"] += 1

    @precondition(lambda self: self.handles)
    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        handle, run, holds = self.handle(data)
        assert self.wait(self.store.leases.begin(handle.lease)) is holds
        if holds:
            run.in_flight = True
            self.succeeded["begin"] += 1

    @precondition(lambda self: self.handles)
    @rule(data=st.data(), interrupted=st.booleans())
    def release(self, data: st.DataObject, interrupted: bool) -> None:
        handle, run, holds = self.handle(data)
        self.wait(self.store.leases.release(handle.lease, interrupted=interrupted))
        if holds:
            run.become(Status.QUEUED)
            run.due_at = self.now
            if interrupted:
                run.lost_attempts.append((run.step + 1, run.attempt, "interrupted"))
                run.attempt += 1
            self.succeeded["interrupt" if interrupted else "release"] += 1

    # Steps and lines.

    @precondition(lambda self: self.handles)
    @rule(data=st.data(), way=st.sampled_from(["step"] * 6 + ["end", "fail"]), line_count=st.integers(0, 3))
    def commit(self, data: st.DataObject, way: str, line_count: int) -> None:
        handle, run, holds = self.handle(data)
        if next_move(handle.run) is None:
            return  # As far as this server knows, the run is over.
        transition = self._transition(handle.run, data, way)
        if not holds or handle.run.step != run.step:
            with pytest.raises(LeaseLost):
                self.wait(commit(self.store, handle.lease, transition, said(*["x"] * line_count)))
            self.succeeded["lost"] += 1
            return
        handle.run = self.wait(commit(self.store, handle.lease, transition, said(*["x"] * line_count)))
        handle.last = transition
        run.moved(transition, line_count)
        self.succeeded["fail" if transition.error else way] += 1

    def _transition(self, run: Run, data: st.DataObject, way: str) -> Transition:
        if isinstance(move := next_move(run), Condemn):
            return after(run, move)
        if way == "fail":
            return failure(run)
        further = data.draw(st.dictionaries(st.sampled_from("abc"), json_values, max_size=2))
        return success(run, **further, n=run.step + 1 if way == "step" else 1000)

    @precondition(lambda self: any(handle.last for handle in self.handles))
    @rule(data=st.data())
    def repeat_a_commit(self, data: st.DataObject) -> None:
        handle, run, _ = self.handle(data)
        last = handle.last
        if last is None:
            return
        again = commit(self.store, handle.lease, last, said("again"))
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
        assert self.wait(self.store.logs.append(handle.lease, said(*["x"] * count))) is holds
        if holds:
            run.events += ["log"] * count
            self.succeeded["append"] += 1

    # What everybody can read.

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def look(self, data: st.DataObject) -> None:
        self._compare(self.runs[data.draw(st.sampled_from(sorted(self.runs)))])

    def _compare(self, run: ModelRun) -> None:
        record, state, lines = self.wait(self.store.runs.whole(run.run_id, 0, 1000))
        assert (record.status, record.step) == (run.status, run.step)
        assert state.to_text() == codec.encode(run.states[-1])
        assert [(line.seq, line.event) for line in lines] == list(enumerate(run.events, 1))
        assert record.last_seq == len(run.events)
        assert (record.error is not None) is (run.status is Status.FAILED)
        states = ask(self.database, "SELECT state FROM v_states WHERE run_id = ? ORDER BY step", run.run_id)
        assert [state for (state,) in states] == [codec.encode(state) for state in run.states]
        steps = self.wait(self.store.history.page(run.run_id, 0, 1000)).items
        assert [step.step for step in steps] == list(range(1, run.step + 1))
        tried = ask(self.database, "SELECT step, attempt, error FROM attempts WHERE run_id = ?", run.run_id)
        assert sorted((step, attempt, json.loads(error)["type"]) for step, attempt, error in tried) == sorted(
            run.lost_attempts
        )

    def teardown(self) -> None:
        for run in self.runs.values():
            self._compare(run)
        self.wait(self.store.close())
        self.loop.close()
        self.folder.cleanup()


def test_the_store_agrees_with_a_dict(migrated: Path) -> None:
    succeeded: Counter[str] = Counter()
    for _ in range(10):
        run_state_machine_as_test(
            lambda: Machine(migrated, succeeded),  # type: ignore[arg-type]  # any factory will do
            settings=settings(max_examples=25, stateful_step_count=50),
        )
        if succeeded.keys() >= VERBS:
            return
    raise AssertionError(f"never succeeded: {VERBS - succeeded.keys()}")
