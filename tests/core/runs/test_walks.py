"""Any small graph, walked with any outcomes: what holds of every transition, whatever led to it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from service.core import codec
from service.core.after import after
from service.core.errors import StateInvalid
from service.core.graph import ERROR_TYPES
from service.core.join import STARTS_MAX, count_children
from service.core.moves import (
    CallTool,
    Failed,
    Gather,
    Gathered,
    Moment,
    Move,
    NoSignal,
    Outcome,
    PauseRun,
    ProcessDied,
    Receive,
    Received,
    Sleep,
    Succeeded,
)
from service.core.next_move import limit_reached, next_move
from service.core.routing.conditions import Reason
from service.core.run import Event, Run, Transition, WaitKind
from service.core.transitions import LEGAL, Status
from tests.support.core.runs import NOW_US, ROOM, resumed, run_of

NODES = ("a", "b", "c")
MOVES_MAX = 25

_types = st.sampled_from(ERROR_TYPES)
_options: dict[str, Any] = {
    "retry": st.fixed_dictionaries({"max_attempts": st.integers(1, 3)}, optional={"on": st.lists(_types, min_size=1)}),
    "timeout_s": st.integers(1, 9),
    "max_visits": st.integers(1, 3),
}
_nodes = st.one_of(
    *(
        st.fixed_dictionaries(required, optional=_options)
        for required in (
            {"tool": st.just("add"), "isolate": st.booleans()},
            {"sleep": st.sampled_from([0, 5, {"until": "n"}])},
            {"signal": st.just("go"), "into": st.sampled_from(["n", "go"])},
            {"graph": st.just("g"), "into": st.just("n"), "input": st.sampled_from([[], ["n"], ["gone"]])},
            {"graph": st.just("g"), "into": st.just("made"), "for_each": st.just("items")},
            {"graph": st.just("g"), "into": st.just("n"), "for_each": st.just("items"), "max_parallel": st.just(2)},
        )
    )
)
_targets = st.none() | st.sampled_from(NODES)
_conditions = st.builds(
    lambda key, op, value: {"key": key, "op": op, "value": value},
    st.sampled_from(["n", "go", "error.type"]),
    st.sampled_from(["==", "<", ">="]),
    st.integers(0, 2),
)
_ordinary = st.lists(st.fixed_dictionaries({"to": _targets, "condition": _conditions}), max_size=1)
_catching = st.lists(
    st.fixed_dictionaries(
        {"to": _targets, "on_error": st.just(True) | st.lists(_types, min_size=1)},
        optional={"condition": _conditions, "into": st.sampled_from(["n", "error"])},
    ),
    max_size=2,
)
_ways = st.builds(
    lambda ordinary, catching, last: [*ordinary, *catching, last],
    _ordinary,
    _catching,
    _targets.map(lambda to: {"to": to}),
)
_graphs = st.fixed_dictionaries(
    {
        "start_node": st.just("a"),
        "max_steps": st.integers(1, 6),
        "nodes": st.fixed_dictionaries(dict.fromkeys(NODES, _nodes)),
        "edges": st.dictionaries(st.sampled_from(NODES), _ways),
    }
)


@dataclass
class Walk:
    """A run, what its store knows beside it, and the way that the data lead."""

    data: st.DataObject
    run: Run
    taken: list[int] = field(default_factory=list)
    started: int = 0
    open: int = 0

    def outcome_of(self, move: Move) -> Outcome | None:
        if isinstance(move, PauseRun):
            return None
        if self.data.draw(st.integers(0, 4)) == 0:
            return Failed(self.data.draw(_types), "made to")
        match move:
            case CallTool():
                left = self.data.draw(_left)
                return ProcessDied("x") if left is None else Succeeded(self.run.state.changes_to(left, {}, ROOM))
            case Sleep(node=node):
                return None if isinstance(node.sleep, int) else Moment(NOW_US + self.data.draw(_spans))
            case Receive():
                number = len(self.taken) + 1
                found = Received(number, self.data.draw(st.sampled_from(["0", "{}"])), NOW_US + self.data.draw(_spans))
                return found if self.data.draw(st.booleans()) else NoSignal()
            case Gather():
                return self._gathered(move)

    def _gathered(self, move: Gather) -> Gathered | Failed:
        try:
            total = count_children(self.run.state, move.node)
        except StateInvalid as error:
            return Failed(error.type, str(error))
        self.open = self.data.draw(st.integers(0, self.open))
        if self.started == total and not self.open:
            return Gathered(total, 0, states=['{"n":0}'] * total)
        failed = (0, "failed", "x") if self.started and self.data.draw(st.integers(0, 3)) == 0 else None
        return Gathered(self.started, self.open, failed)

    def go_on(self, transition: Transition) -> bool:
        """Do as the store does and whoever resumes runs; False at the end."""
        if transition.step is not None or transition.error is not None:
            self.started = self.open = 0
        self.started, self.open = self.started + len(transition.starts), self.open + len(transition.starts)
        self.taken += [] if transition.consumes is None else [transition.consumes]
        run = transition.run
        match run.status:
            case Status.WAITING:
                self.run = resumed(transition, is_over=self.data.draw(st.booleans()))
            case Status.PAUSED:
                made = run.step - run.patches
                is_at_visits = made < steps_max_of(run)
                visits = {name: count for name, count in run.visits.items() if not is_at_visits or name != run.node}
                max_steps = run.max_steps if is_at_visits else made + self.data.draw(st.integers(0, 2))
                self.run = run._replace(status=Status.RUNNING, visits=visits, max_steps=max_steps)
            case Status.FAILED:
                self.run = run._replace(status=Status.RUNNING, attempt=run.attempt + 1, waited=None)
            case _:
                self.run = run
        if isinstance(next_move(self.run), CallTool) and self.data.draw(st.integers(0, 5)) == 0:
            self.run = self.run._replace(crashes=self.run.crashes + 3, attempt=self.run.attempt + 1)
        return run.status is not Status.COMPLETED


_left: st.SearchStrategy[dict[str, Any] | None]
_left = st.sampled_from([{"n": 0}, {"n": 1, "items": [0] * 3}, {"items": []}, None])
"""The state that a tool leaves, or nothing where its process dies."""
_spans = st.integers(-2, 2).map(lambda hours: hours * 3_600_000_000)


@given(_graphs, st.data())
def test_whatever_comes_out_a_transition_is_sound(document: dict[str, Any], data: st.DataObject) -> None:
    walk = Walk(data, run_of(document, {"n": 0, "items": [0, 1, 2]}))
    for _ in range(MOVES_MAX):
        before, move = walk.run, next_move(walk.run)
        assert move is not None
        outcome = walk.outcome_of(move)
        transition = after(before, move, outcome, ROOM)
        assert transition == after(before, move, outcome, ROOM)
        assert_step(before, transition)
        assert_failure(before, move, transition)
        assert_rest(before, move, transition)
        assert_rooms(before, move, outcome, transition)
        assert_lines(transition)
        if not walk.go_on(transition):
            break
    assert walk.taken == list(range(1, len(walk.taken) + 1))


def assert_step(before: Run, transition: Transition) -> None:
    """With a step the run has moved over an edge, without one it stands where it stood."""
    run, step = transition.run, transition.step
    visits_max = before.graph.nodes[before.node or ""].max_visits
    if step is None:
        assert (run.step, run.node, run.state, run.visits) == (before.step, before.node, before.state, before.visits)
        assert transition.consumes is None
        return
    assert run.step == before.step + 1
    assert (step.node, step.attempt) == (before.node, before.attempt)
    assert run.node == step.decision.to
    assert run.state == before.state.apply(step.changes)
    assert (run.attempt, run.failures, run.crashes, run.waited) == (1, 0, 0, None)
    assert (run.status is Status.COMPLETED) is (run.node is None)
    assert (step.decision.reason is Reason.ON_ERROR) is (transition.error is not None)
    counted = {before.node or "": 1} if visits_max is not None else {}
    assert Counter(run.visits) == Counter(before.visits) + Counter(counted)
    assert visits_max is None or run.visits[before.node or ""] <= visits_max
    assert run.step - run.patches <= steps_max_of(run)


def steps_max_of(run: Run) -> int:
    return run.graph.max_steps if run.max_steps is None else run.max_steps


def assert_failure(before: Run, move: Move, transition: Transition) -> None:
    """A failure is another attempt, a step over an error edge, or the end, and says of what it is one."""
    run, error = transition.run, transition.error
    assert transition.cancels_children is (error is not None and isinstance(move, Gather))
    if error is None:
        assert run.status is not Status.FAILED
        assert transition.step is not None or run.attempt == before.attempt
        return
    assert (error.node, error.step, error.attempt) == (before.node, before.step + 1, before.attempt)
    assert error.type in ERROR_TYPES
    if transition.step is None:
        is_retried = run.status is Status.WAITING
        assert is_retried or run.status is Status.FAILED
        assert (run.attempt, run.failures) == (
            (before.attempt + 1, before.failures + 1) if is_retried else (before.attempt, 0)
        )
        retry = before.graph.nodes[error.node].retry
        assert not is_retried or (retry is not None and run.failures < retry.max_attempts)


def assert_rest(before: Run, move: Move, transition: Transition) -> None:
    """A run moves on or rests, and what it waited for is over exactly where the step or the node is."""
    run, wait = transition.run, transition.wait
    assert run.status in LEGAL[Status.RUNNING]
    assert (wait is not None) is (run.status is Status.WAITING)
    assert (next_move(run) is None) is (run.status is not Status.RUNNING)
    assert not isinstance(next_move(run), PauseRun)
    is_over = transition.step is not None or run.status is Status.FAILED
    assert transition.ends_wait is (before.waited is not None and is_over)
    is_told = before.waited is not None and before.waited.kind is not WaitKind.BACKOFF
    is_of_attempt = transition.step is not None or transition.error is not None
    assert transition.since_us == (before.waited.since_us if before.waited and is_told and is_of_attempt else None)
    if run.status is Status.PAUSED:
        assert limit_reached(run) is not None
        assert transition.step is not None or isinstance(move, PauseRun)
    if wait is None:
        return
    assert (wait.kind is WaitKind.BACKOFF) is (transition.error is not None)
    if before.waited is not None and before.waited.kind is wait.kind and transition.error is None:
        assert wait.since_us == before.waited.since_us
        if before.waited.is_over:  # The clock was set back, so that the moment to sleep until is still to come.
            assert isinstance(move, Sleep)
            assert wait.due_us is not None
            assert wait.due_us > before.claimed_us
        else:
            assert wait.due_us == before.waited.due_us
    else:
        assert wait.since_us is None
    assert wait.later_s is None or wait.later_s >= 0


def assert_rooms(before: Run, move: Move, outcome: Outcome | None, transition: Transition) -> None:
    """What a move takes and starts is what it was for."""
    if transition.consumes is not None:
        assert isinstance(outcome, Received)
        assert transition.consumes == outcome.number
    numbers = [child.number for child in transition.starts]
    if numbers:
        assert isinstance(move, Gather)
        assert isinstance(outcome, Gathered)
        assert numbers == list(range(outcome.started, outcome.started + len(numbers)))
        assert outcome.started + len(numbers) <= count_children(before.state, move.node)
        assert len(numbers) <= min(STARTS_MAX, move.node.max_parallel or STARTS_MAX)
        assert (transition.step, transition.error) == (None, None)
    if isinstance(move, Gather) and transition.wait is not None and transition.wait.kind is WaitKind.CHILDREN:
        assert isinstance(outcome, Gathered)
        assert transition.wait.open_max is not None
        assert 0 <= transition.wait.open_max < outcome.open + len(numbers)


LAST_LINES = {
    Status.COMPLETED: {Event.RUN_COMPLETED},
    Status.FAILED: {Event.RUN_FAILED},
    Status.PAUSED: {Event.RUN_PAUSED},
    Status.WAITING: {Event.RUN_WAITING, Event.STEP_RETRYING},
    Status.RUNNING: {Event.STEP_COMPLETED},
}


def assert_lines(transition: Transition) -> None:
    """The last line says where the run has come to; only what has changed nothing says nothing."""
    events = [line.event for line in transition.lines]
    if events:
        assert events[-1] in LAST_LINES[transition.run.status]
    else:
        assert (transition.step, transition.error) == (None, None)
    assert all(codec.loads(line.data) == {} for line in transition.lines)
    assert (Event.STEP_COMPLETED in events) is (transition.step is not None)
    assert len(set(events)) == len(events)
