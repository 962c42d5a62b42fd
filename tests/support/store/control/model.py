"""Control as plain objects: the model that `test_control_model` holds store and core against.

It knows nothing of either but the names of statuses and kinds. Times are seconds since the clock began.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from service.core.run import WaitKind
from service.core.transitions import LEGAL, OVER, Status
from tests.support.store.control.graphs import Graph, Node, State
from tests.support.store.harness import LEASE_S


@dataclass
class Wait:
    kind: WaitKind
    since: float
    due: float | None
    name: str | None = None
    open_max: int | None = None
    is_over: bool = False
    """Whether its time had come when the run was last claimed."""


@dataclass
class Signal:
    name: str
    payload: Any
    accepted: float
    step: int | None = None


@dataclass(repr=False)
class ModelRun:
    """What the store should hold of one run."""

    id: str
    graph: str
    node: str | None
    states: list[State]
    due: float | None
    status: Status = Status.QUEUED
    steps: list[tuple[str | None, int, str, str | None]] = field(default_factory=list)
    """Node, attempt, reason, and where it went."""
    began_at: str = ""
    owner: str | None = None
    token: int = 0
    attempt: int = 1
    failures: int = 0
    crashes: int = 0
    in_flight: bool = False
    is_resume_unlogged: bool = False
    is_new: bool = True
    patches: int = 0
    max_steps: int | None = None
    pause_asked: bool = False
    error: str | None = None
    wait: Wait | None = None
    visits: dict[str, int] = field(default_factory=dict)
    mail: list[Signal] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    attempts: list[tuple[int, int, str]] = field(default_factory=list)
    """Step, attempt and error of those that led to no commit."""
    parent: tuple[str, int, int, int] | None = None
    """Its id, step and attempt, and which of its children this is."""
    forked_from: tuple[str, int] | None = None

    @property
    def step(self) -> int:
        return len(self.steps)

    @property
    def state(self) -> State:
        return self.states[-1]

    @property
    def is_over(self) -> bool:
        return self.status in OVER

    def become(self, status: Status, due: float | None = None) -> None:
        assert status in LEGAL[self.status], (self.status, status)
        self.status, self.due = status, due
        if status is not Status.RUNNING:
            self.owner = None

    def say(self, *events: str) -> None:
        self.events += events


class Model:
    """All runs, and what each command makes of them."""

    def __init__(self, graphs: dict[str, Graph], starts_max: int, child_id: Callable[..., str]) -> None:
        self.graphs = graphs
        self.runs: dict[str, ModelRun] = {}
        self.now = 0.0
        self._starts_max = starts_max
        self._child_id = child_id

    def node_of(self, run: ModelRun) -> Node:
        assert run.node is not None
        return self.graphs[run.graph].nodes[run.node]

    def start(self, run_id: str, graph: str, state: State, node: str | None = None, **more: Any) -> ModelRun:
        node = node or self.graphs[graph].start
        run = self.runs[run_id] = ModelRun(run_id, graph, node, [state], self.now, began_at=node, **more)
        return run

    # Claims.

    def due(self) -> list[ModelRun]:
        """Those that can be claimed now, the longest due first."""
        waiting = [run for run in self.runs.values() if run.due is not None and run.due <= self.now]
        return sorted(waiting, key=lambda run: (run.due, run.id))

    def claim(self, run: ModelRun, server: str) -> str:
        """What it is called."""
        was = run.status
        taken_over = was is Status.RUNNING
        if taken_over and run.in_flight and self.node_of(run).kind == "tool":
            run.attempts.append((run.step + 1, run.attempt, "server_lost"))
            run.attempt += 1
            run.crashes += 1
        if was is not Status.WAITING and run.is_new:
            run.say("run_started")
        elif taken_over or run.is_resume_unlogged:
            run.say("run_resumed")
        run.become(Status.RUNNING, self.now + LEASE_S)
        run.in_flight, run.is_resume_unlogged = not taken_over, False
        run.is_new, run.owner, run.token = False, server, run.token + 1
        if run.wait is not None:
            run.wait.is_over = run.wait.due is not None and run.wait.due <= self.now
        return "take over" if taken_over else "wake" if was is Status.WAITING else "claim"

    def release(self, run: ModelRun, *, interrupted: bool) -> None:
        run.become(Status.QUEUED, self.now)
        run.is_resume_unlogged = True
        if interrupted:
            run.attempts.append((run.step + 1, run.attempt, "interrupted"))
            run.attempt += 1
        self._pause_if_asked(run)

    # One move of a run that a server carries.

    def carry(self, run: ModelRun, outcome: State | str) -> str:
        """Do what the run does next; `outcome` is what a tool sets, or the type of its error. How that is called."""
        if self._is_full(run):
            run.become(Status.PAUSED)
            run.say("run_paused")
            name = "hold"
        else:
            node = self.node_of(run)
            name = {"tool": self._call, "sleep": self._sleep, "signal": self._receive, "graph": self._gather}[
                node.kind
            ](run, node, outcome)
        if run.is_over and run.parent is not None:
            self._wake(self.runs[run.parent[0]])
        self._wake(run)
        self._pause_if_asked(run)
        return name

    def _is_full(self, run: ModelRun) -> bool:
        limit = self.graphs[run.graph].steps_max if run.max_steps is None else run.max_steps
        if run.step - run.patches >= limit:
            return True
        visits_max = None if run.node is None else self.node_of(run).visits_max
        return visits_max is not None and run.visits.get(run.node or "", 0) >= visits_max

    def _call(self, run: ModelRun, node: Node, outcome: Any) -> str:
        if isinstance(outcome, str):
            return self._fail(run, node, outcome)
        return self._commit(run, node, outcome)

    def _sleep(self, run: ModelRun, node: Node, _outcome: Any) -> str:
        wait = self._wait_of(run, WaitKind.SLEEP)
        if wait is None:
            return self._park(run, Wait(WaitKind.SLEEP, self.now, self.now + (node.seconds or 0)))
        if not wait.is_over:
            return self._park(run, wait)
        self._commit(run, node, {})
        return "wake up"

    def _receive(self, run: ModelRun, node: Node, _outcome: Any) -> str:
        wait = self._wait_of(run, WaitKind.SIGNAL)
        signal = next((each for each in run.mail if each.step is None and each.name == node.name), None)
        if signal is not None and (wait is None or wait.due is None or signal.accepted <= wait.due):
            signal.step = run.step + 1
            self._commit(run, node, {node.into: signal.payload})
            return "consume"
        if wait is not None and wait.is_over:
            self._fail(run, node, "timeout")
            return "time out"
        due = None if node.seconds is None else self.now + node.seconds
        return self._park(run, wait or Wait(WaitKind.SIGNAL, self.now, due, name=node.name))

    def _gather(self, run: ModelRun, node: Node, _outcome: Any) -> str:
        wait = self._wait_of(run, WaitKind.CHILDREN)
        items = [None] if node.each is None else run.state[node.each]
        children = list(self.children(run))
        if any(child.status in (Status.FAILED, Status.CANCELLED) for child in children):
            self._cancel_children(run)
            self._fail(run, node, "child_failed")
            return "fail for a child"
        if len(children) == len(items) and all(child.is_over for child in children):
            states = [child.state for child in children]
            self._commit(run, node, {node.into: states[0] if node.each is None else states})
            return "join"
        if wait is not None and wait.is_over:
            self._cancel_children(run)
            self._fail(run, node, "timeout")
            return "time out for children"
        return self._start_children(run, node, items, wait)

    def _start_children(self, run: ModelRun, node: Node, items: list[Any], wait: Wait | None) -> str:
        count, still_open = len(list(self.children(run))), self._open(run)
        wanted = min(len(items) - count, max(0, node.parallel - still_open))
        for number in range(count, count + min(wanted, self._starts_max)):
            state = {key: run.state[key] for key in node.input}
            state |= {} if node.each is None else {"item": items[number], "index": number}
            place = (run.id, run.step + 1, run.attempt, number)
            self.start(self._child_id(*place), node.name, state, parent=place)
        if wanted > self._starts_max:
            return "start some children"
        is_last = count + wanted == len(items)
        due = None if node.seconds is None else self.now + node.seconds
        wait = wait or Wait(WaitKind.CHILDREN, self.now, due)
        wait.open_max = 0 if is_last else still_open + wanted - 1
        self._park(run, wait)
        return "start children" if wanted else "wait for children"

    def children(self, run: ModelRun) -> Iterator[ModelRun]:
        """Those of this attempt, in order."""
        place = (run.id, run.step + 1, run.attempt)
        found = [each for each in self.runs.values() if each.parent is not None and each.parent[:3] == place]
        return iter(sorted(found, key=lambda each: each.parent or ()))

    def _open(self, run: ModelRun) -> int:
        return sum(not child.is_over for child in self.children(run))

    @staticmethod
    def _wait_of(run: ModelRun, kind: WaitKind) -> Wait | None:
        return run.wait if run.wait is not None and run.wait.kind is kind else None

    def _park(self, run: ModelRun, wait: Wait) -> str:
        if wait is not run.wait:
            run.say("run_waiting")
        run.wait = wait
        run.become(Status.WAITING, wait.due)
        return "park"

    def _commit(self, run: ModelRun, node: Node, changes: State) -> str:
        state = {**run.state, **changes}
        self._step(run, node.to(state), state, "routed")
        return "step"

    def _step(self, run: ModelRun, to: str | None, state: State, reason: str) -> None:
        node = self.node_of(run)
        if node.visits_max is not None and run.node is not None:
            run.visits[run.node] = run.visits.get(run.node, 0) + 1
        run.steps.append((run.node, run.attempt, reason, to))
        run.states.append(state)
        run.say("step_completed")
        run.node, run.attempt, run.failures, run.crashes, run.wait = to, 1, 0, 0, None
        run.in_flight = True
        if to is None:
            run.become(Status.COMPLETED)
            run.say("run_completed")
        elif self._is_full(run):
            run.become(Status.PAUSED)
            run.say("run_paused")

    def _fail(self, run: ModelRun, node: Node, error: str) -> str:
        run.attempts.append((run.step + 1, run.attempt, error))
        run.failures, run.crashes = run.failures + 1, run.crashes if run.crashes >= 5 else 0
        if error in node.retried and run.failures < node.attempts:
            run.attempt += 1
            run.wait = Wait(WaitKind.BACKOFF, self.now, self.now + node.backoff_s)
            run.become(Status.WAITING, run.wait.due)
            run.say("step_retrying")
            return "retry"
        run.say("step_failed")
        if node.caught is not None and node.caught[0] == error:
            _, to, into = node.caught
            record = {"type": error, "node": run.node, "step": run.step + 1, "attempt": run.attempt}
            self._step(run, to, {**run.state, into: record}, "on_error")
            return "error edge"
        run.failures, run.wait, run.error = 0, None, error
        run.become(Status.FAILED)
        run.say("run_failed")
        return "fail"

    # Commands of a person. Each tells whether the run's status allows it.

    def send(self, run: ModelRun, name: str, payload: Any) -> bool:
        if run.status in (Status.COMPLETED, Status.CANCELLED):
            return False
        run.mail.append(Signal(name, payload, self.now))
        self._wake(run)
        return True

    def pause(self, run: ModelRun) -> bool:
        if run.is_over:
            return False
        run.pause_asked |= run.status is not Status.PAUSED
        if run.status is not Status.RUNNING:
            self._pause_if_asked(run)
        return True

    def _pause_if_asked(self, run: ModelRun) -> None:
        if run.pause_asked and run.status in (Status.QUEUED, Status.RUNNING, Status.WAITING):
            run.pause_asked = False
            run.become(Status.PAUSED)
            run.say("run_paused")

    def resume(self, run: ModelRun, patch: State | None, max_steps: int | None) -> str | None:
        """What the resume has done; None where the status does not allow it."""
        if run.status is Status.RUNNING and run.pause_asked and patch is None and max_steps is None:
            run.pause_asked = False
            return "withdraw"
        if run.status not in (Status.PAUSED, Status.FAILED):
            return None
        run.pause_asked = False
        run.max_steps = run.max_steps if max_steps is None else max_steps
        visits_max = self.node_of(run).visits_max
        if visits_max is not None and run.visits.get(run.node or "", 0) >= visits_max:
            del run.visits[run.node or ""]
        name = "resume a failed run" if run.status is Status.FAILED else "resume"
        if patch is not None:
            name = "resume with a patch"
            self._cancel_children(run)
            run.steps.append((None, 0, "patch", run.node))
            run.states.append({**run.state, **patch})
            run.say("step_completed")
            run.patches, run.attempt, run.failures, run.wait = run.patches + 1, 1, 0, None
        elif run.status is Status.FAILED:
            run.attempt, run.failures = run.attempt + 1, 0
        run.error, run.is_resume_unlogged = None, False
        run.say("run_resumed")
        if run.wait is None:
            run.become(Status.QUEUED, self.now)
        else:
            run.become(Status.WAITING, run.wait.due)
            self._wake(run)
        return name

    def cancel(self, run: ModelRun) -> bool:
        if run.is_over:
            return run.status is Status.CANCELLED
        self._cancel(run)
        if run.parent is not None:
            self._wake(self.runs[run.parent[0]])
        return True

    def _cancel(self, run: ModelRun) -> None:
        run.become(Status.CANCELLED)
        run.node, run.wait, run.pause_asked, run.token = None, None, False, run.token + 1
        run.say("run_cancelled")
        self._cancel_children(run)

    def _cancel_children(self, run: ModelRun) -> None:
        for child in list(self.runs.values()):
            if child.parent is not None and child.parent[0] == run.id and not child.is_over:
                self._cancel(child)

    def _wake(self, run: ModelRun) -> None:
        """Make it due where something other than time has ended its wait."""
        wait = run.wait
        if run.status is not Status.WAITING or wait is None:
            return
        has_mail = any(each.step is None and each.name == wait.name for each in run.mail)
        children = list(self.children(run))
        has_failed = any(child.status in (Status.FAILED, Status.CANCELLED) for child in children)
        is_joined = wait.open_max is not None and self._open(run) <= wait.open_max
        if (wait.kind is WaitKind.SIGNAL and has_mail) or (
            wait.kind is WaitKind.CHILDREN and (has_failed or is_joined)
        ):
            run.due = self.now if run.due is None else min(run.due, self.now)
