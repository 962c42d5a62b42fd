"""What has happened once a move came out: the transition that the store commits, whole or not at all.

A step succeeds, or its node fails; what has failed is tried again, caught by an error edge, or ends the run.
"""

from __future__ import annotations

from service.core import codec
from service.core.catching import caught
from service.core.children import joined, starts
from service.core.conditions import Decision, decide
from service.core.errors import AttemptError, StateInvalid
from service.core.graph import SECONDS_MAX, GraphNode, SignalNode, SleepNode, Until
from service.core.moves import (
    CallTool,
    Died,
    Failed,
    Gather,
    Gathered,
    Hold,
    Instant,
    Move,
    Nothing,
    Outcome,
    Receive,
    Received,
    Sleep,
    Succeeded,
    is_suspect,
    limit_reached,
)
from service.core.retry import backoff_s, is_retried
from service.core.run import Event, Level, Line, Run, RunError, Step, Transition, Wait, Waited, WaitKind
from service.core.state import Changes, State
from service.core.transitions import Status

AHEAD_MAX_US = SECONDS_MAX * 1_000_000
"""How far ahead a moment may be until which a run sleeps."""


def after(run: Run, move: Move, outcome: Outcome | None, state_bytes_max: int) -> Transition:
    """What `move` has led to, `outcome` being how it came out (None for a move that asks for nothing)."""
    try:
        transition = _after(run, move, outcome, state_bytes_max)
    except AttemptError as error:
        transition = _failed(run, Failed(error.type, str(error)), state_bytes_max)
    if transition.error is not None and isinstance(move, Gather):
        transition = transition._replace(cancels_children=True)
    if run.waited is None or (transition.step is None and transition.error is None):
        return transition  # It waits on, or only looks on.
    # A backoff is no part of the attempt that follows it.
    since_us = None if run.waited.kind is WaitKind.BACKOFF else run.waited.since_us
    return transition._replace(ends_wait=transition.wait is None, since_us=since_us)


def _after(run: Run, move: Move, outcome: Outcome | None, state_bytes_max: int) -> Transition:
    match move, outcome:
        case _, Failed():
            return _failed(run, outcome, state_bytes_max)
        case CallTool(), Succeeded(changes=changes):
            return _committed(run, changes)
        case CallTool(), Died(message=message):
            return _failed(run, Failed("crash_loop" if is_suspect(run) else "tool_error", message), state_bytes_max)
        case Hold(because=because), None:
            return _held(run, because)
        case Sleep(node=node), None | Instant() if isinstance(node.sleep, Until) is isinstance(outcome, Instant):
            return _slept(run, node, outcome, state_bytes_max)
        case Receive(node=node), Received() | Nothing():
            return _received(run, node, outcome, state_bytes_max)
        case Gather(node=node), Gathered():
            return _gathered(run, node, outcome, state_bytes_max)
    raise TypeError(f"{move!r} does not come out as {outcome!r}")


def _committed(run: Run, changes: Changes, *, consumes: int | None = None) -> Transition:
    """The step is done: where its edges lead from the new state. ConditionError undoes it."""
    state = run.state.apply(changes)
    decision = decide(run.graph.edges_from(_node_of(run)), state)
    stepped = _stepped(run, changes, state, decision)
    return stepped if consumes is None else stepped._replace(consumes=consumes)


def _stepped(run: Run, changes: Changes, state: State, decision: Decision) -> Transition:
    node, number = _node_of(run), run.step + 1
    visits = run.visits
    if run.graph.nodes[node].max_visits is not None:
        visits = {**visits, node: visits.get(node, 0) + 1}
    there = run._replace(
        status=Status.RUNNING,
        step=number,
        node=decision.to,
        state=state,
        attempt=1,
        crashes=0,
        failures=0,
        visits=visits,
        waited=None,
    )
    line = Line(
        Event.STEP_COMPLETED,
        f"{node:.200} → {decision.to or 'end':.200} ({decision.reason})",
        node=node,
        step=number,
        attempt=run.attempt,
    )
    ending = None
    if decision.to is None:
        there = there._replace(status=Status.COMPLETED)
        ending = Line(Event.RUN_COMPLETED, f"completed after step {number}")
    elif (limit := limit_reached(there)) is not None:
        there = there._replace(status=Status.PAUSED)
        ending = Line(Event.RUN_PAUSED, limit, Level.WARNING)
    step = Step(node, run.attempt, changes, decision)
    return Transition(run=there, step=step, lines=(line,) if ending is None else (line, ending))


def _held(run: Run, because: str) -> Transition:
    return Transition(run=run._replace(status=Status.PAUSED), lines=(Line(Event.RUN_PAUSED, because, Level.WARNING),))


# What a step can be that calls no tool.


def _parked(run: Run, wait: Wait, message: str) -> Transition:
    """At rest until `wait` is over. Said once: a run that only looked whether it is over says nothing."""
    line = Line(Event.RUN_WAITING, message, node=run.node, step=run.step + 1, attempt=run.attempt)
    lines = () if wait.since_us is not None else (line,)
    return Transition(run=run._replace(status=Status.WAITING), wait=wait, lines=lines)


def _slept(run: Run, node: SleepNode, until: Instant | None, state_bytes_max: int) -> Transition:
    waited = _waited(run, WaitKind.SLEEP)
    if waited is None:
        return _parked(run, _sleep(run, node, until), f"sleeps {_what(node)}")
    if not waited.is_over:
        return _parked(run, _again(waited), "")
    # Times are stored to the millisecond.
    is_early = until is not None and until.us // 1000 > run.claimed_us // 1000
    if _is_cut_short(node, until, waited, is_early):
        message = f"slept for {node.timeout_s} s, and had to for longer"
        return _failed(run, Failed("timeout", message), state_bytes_max)
    if until is not None and is_early:
        # The clock was set back since it was parked, and the calendar is what counts.
        return _parked(run, _rest_of_sleep(node, until, waited), "")
    return _committed(run, Changes({}))


def _sleep(run: Run, node: SleepNode, until: Instant | None) -> Wait:
    if until is not None:
        if until.us > run.claimed_us + AHEAD_MAX_US:
            raise StateInvalid("the moment is more than a hundred years ahead")
        return Wait(WaitKind.SLEEP, due_us=until.us, later_s=node.timeout_s)
    times = [node.sleep, node.timeout_s]
    return Wait(WaitKind.SLEEP, later_s=min(float(time) for time in times if isinstance(time, int | float)))


def _rest_of_sleep(node: SleepNode, until: Instant, waited: Waited) -> Wait:
    wait = Wait(WaitKind.SLEEP, due_us=until.us, since_us=waited.since_us)
    if node.timeout_s is None or waited.seen_us is None:
        return wait
    return wait._replace(later_s=node.timeout_s - (waited.seen_us - waited.since_us) / 1e6)


def _is_cut_short(node: SleepNode, until: Instant | None, waited: Waited, is_early: bool) -> bool:
    """Whether the timeout came before the time that it was to sleep; `is_early`: before a moment still to come."""
    if node.timeout_s is None:
        return False
    if until is not None:
        limit_us = waited.since_us + round(node.timeout_s * 1e6)
        has_come = waited.seen_us is None or waited.seen_us + 1000 > limit_us
        return has_come and (is_early or limit_us < until.us)
    return isinstance(node.sleep, int | float) and node.timeout_s < node.sleep


def _what(node: SleepNode) -> str:
    return f"{node.sleep:g} s" if isinstance(node.sleep, int | float) else f"until {node.sleep.until:.200}"


def _received(run: Run, node: SignalNode, found: Received | Nothing, state_bytes_max: int) -> Transition:
    waited = _waited(run, WaitKind.SIGNAL)
    due_us = None if waited is None else waited.due_us
    if isinstance(found, Received) and (due_us is None or found.accepted_us <= due_us):
        return _committed(run, run.state.setting(node.into, found.payload, state_bytes_max), consumes=found.number)
    if waited is None:
        wait = Wait(WaitKind.SIGNAL, node.signal, later_s=node.timeout_s)
        return _parked(run, wait, f"waits for the signal {node.signal!r:.200}")
    if waited.is_over:
        message = f"no signal {node.signal!r:.200} within {node.timeout_s} s"
        return _failed(run, Failed("timeout", message), state_bytes_max)
    return _parked(run, _again(waited)._replace(name=node.signal), "")


def _gathered(run: Run, node: GraphNode, gathered: Gathered, state_bytes_max: int) -> Transition:
    """The children's node: more of them are started, or waited for, or joined; or one of them has failed it."""
    waited = _waited(run, WaitKind.CHILDREN)
    if gathered.failed is not None:
        number, status, message = gathered.failed
        which = f"child {number} {status}" + (f" (run {gathered.failed_id})" if gathered.failed_id else "")
        failure = Failed("child_failed", f"{which}{message and ': '}{message}")
        return _failed(run, failure, state_bytes_max)
    if gathered.states is not None:
        return _committed(run, run.state.setting(node.into, joined(node, gathered.states), state_bytes_max))
    if waited is not None and waited.is_over:
        message = f"children were not done within {node.timeout_s} s"
        return _failed(run, Failed("timeout", message), state_bytes_max)
    found = starts(run, node, gathered)
    if found.has_more:
        return Transition(run=run, starts=found.starts)
    wait = Wait(WaitKind.CHILDREN, later_s=node.timeout_s) if waited is None else _again(waited)
    parked = _parked(run, wait._replace(open_max=found.open_max), "waits for its children")
    return parked._replace(starts=found.starts)


def _waited(run: Run, kind: WaitKind) -> Waited | None:
    """The wait of this very attempt, if it has begun."""
    return run.waited if run.waited is not None and run.waited.kind is kind else None


def _again(waited: Waited) -> Wait:
    """The same wait, which is not over."""
    return Wait(waited.kind, due_us=waited.due_us, since_us=waited.since_us)


# What a failure leads to.


def _failed(run: Run, failure: Failed, state_bytes_max: int) -> Transition:
    """Another attempt, an error edge, or the end of the run; its last good state stands."""
    if not is_suspect(run):  # One that is stays isolated, or the next attempt would bring down servers again.
        run = run._replace(crashes=0)
    node = run.graph.nodes[_node_of(run)]
    error = RunError(failure.type, failure.message, _node_of(run), run.step + 1, run.attempt)
    line = _failure_line(error, failure.trace)
    failures = run.failures + 1
    if node.retry is not None and is_retried(node.retry, failure.type, failures):
        return _retried(run, error, line, backoff_s(node.retry, failures), failures)
    try:
        if (step := _caught(run, error, line, state_bytes_max)) is not None:
            return step
    except AttemptError as broken:
        error = error._replace(type=broken.type, message=str(broken))
        line = _failure_line(error)
    return _ended(run, error, line)


def _retried(run: Run, error: RunError, line: Line, seconds: float, failures: int) -> Transition:
    line = line._replace(
        event=Event.STEP_RETRYING, level=Level.WARNING, message=f"tried again in {seconds:g} s: {line.message}"
    )
    again = run._replace(status=Status.WAITING, attempt=run.attempt + 1, failures=failures)
    return Transition(run=again, error=error, lines=(line,), wait=Wait(WaitKind.BACKOFF, later_s=seconds))


def _caught(run: Run, error: RunError, line: Line, state_bytes_max: int) -> Transition | None:
    """The step over the first error edge that takes `error`: the last good state, plus the error's record."""
    found = caught(run.graph, run.state, error, state_bytes_max)
    if found is None:
        return None
    stepped = _stepped(run, found.changes, found.state, found.decision)
    return stepped._replace(error=error, lines=(line, *stepped.lines))


def _ended(run: Run, error: RunError, line: Line) -> Transition:
    failed = run._replace(status=Status.FAILED, failures=0)
    # Why is said once, by the line before.
    ending = line._replace(event=Event.RUN_FAILED, message=f"failed in step {error.step} ({error.type})", data="{}")
    return Transition(run=failed, error=error, lines=(line, ending))


def _failure_line(error: RunError, trace: str = "") -> Line:
    """What has failed and why; the traceback, where a tool has raised, is in its data."""
    message = f"{error.type}: {error.message}"
    data = codec.encode({"traceback": trace}) if trace else "{}"
    return Line(Event.STEP_FAILED, message, Level.ERROR, error.node, error.step, error.attempt, data)


def _node_of(run: Run) -> str:
    if run.node is None:
        raise ValueError(f"run {run.id} is at no node")
    return run.node
