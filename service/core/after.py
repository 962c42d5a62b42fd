"""Turn the outcome of a move into a transition, which the store commits as a whole.

A step succeeds, or its node fails. A failure is retried, is caught by an error edge, or ends the run.
"""

from __future__ import annotations

from service.core import codec
from service.core.errors import AttemptError, StateInvalid
from service.core.graph import SECONDS_MAX, WORKER_LOST, GraphNode, SignalNode, SleepNode, Until
from service.core.join import join_states, plan_starts
from service.core.moves import (
    CallTool,
    Failed,
    Gather,
    Gathered,
    Moment,
    Move,
    NoSignal,
    NoSlot,
    Outcome,
    PauseRun,
    ProcessDied,
    Receive,
    Received,
    Sleep,
    Succeeded,
    WorkerLost,
)
from service.core.next_move import is_suspect, limit_reached
from service.core.retry import backoff_s, is_retried
from service.core.routing.catching import catch_error
from service.core.routing.conditions import Decision, decide
from service.core.run import Event, Level, Line, Run, RunError, Step, Transition, Wait, Waited, WaitKind
from service.core.state import Changes, State
from service.core.transitions import Status

WORKERS_LOST_MAX = 3
"""A node fails when its step has lost this many workers in a row."""
WORKER_PAUSE_S = 1.0
"""The pause before the next attempt after a lost worker, multiplied by the number of workers lost in a row."""
AHEAD_MAX_US = SECONDS_MAX * 1_000_000
"""The longest time from now to the moment until which a run sleeps."""


def after(run: Run, move: Move, outcome: Outcome | None, state_bytes_max: int) -> Transition:
    """Return the transition that follows from `move` and its `outcome`, which is None if the move has no outcome."""
    try:
        transition = _transition_after(run, move, outcome, state_bytes_max)
    except AttemptError as error:
        transition = _fail(run, Failed(error.type, str(error)), state_bytes_max)
    if transition.error is not None and isinstance(move, Gather):
        transition = transition._replace(cancels_children=True)
    if run.waited is None or (transition.step is None and transition.error is None):
        return transition  # The run still waits.
    # An attempt includes its wait for a time, a signal or children, and began when the wait began. A backoff or a wait
    # for a slot comes before the attempt.
    since_us = None if run.waited.kind in (WaitKind.BACKOFF, WaitKind.LIMIT) else run.waited.since_us
    return transition._replace(ends_wait=transition.wait is None, since_us=since_us)


def _transition_after(run: Run, move: Move, outcome: Outcome | None, state_bytes_max: int) -> Transition:
    match move, outcome:
        case _, Failed():
            return _fail(run, outcome, state_bytes_max)
        case CallTool(), Succeeded(changes=changes):
            return _complete_step(run, changes)
        case CallTool(), ProcessDied(message=message):
            return _fail(run, Failed("crash_loop" if is_suspect(run) else "tool_error", message), state_bytes_max)
        case CallTool(), WorkerLost():
            return _lose_worker(run, outcome, state_bytes_max)
        case CallTool(), NoSlot(limit=limit):
            return _wait_for_slot(run, limit)
        case PauseRun(because=because), None:
            return _pause_run(run, because)
        case Sleep(node=node), None | Moment() if isinstance(node.sleep, Until) is isinstance(outcome, Moment):
            return _after_sleep(run, node, outcome, state_bytes_max)
        case Receive(node=node), Received() | NoSignal():
            return _after_receive(run, node, outcome, state_bytes_max)
        case Gather(node=node), Gathered():
            return _after_gather(run, node, outcome, state_bytes_max)
    raise TypeError(f"{outcome!r} is not an outcome of {move!r}")


def _complete_step(run: Run, changes: Changes, *, consumes: int | None = None) -> Transition:
    """Complete the step: apply `changes` and follow the node's edges.

    `consumes` is the number of the signal that the step takes out of the mailbox. Raise ConditionError if a condition
    cannot be evaluated.
    """
    node = _node_of(run)
    state = run.state.apply(changes)
    stepped = _move_along(run, node, changes, state, decide(run.graph.edges_from(node), state))
    return stepped if consumes is None else stepped._replace(consumes=consumes)


def _move_along(run: Run, node: str, changes: Changes, state: State, decision: Decision) -> Transition:
    """Move the run from `node` to the next node, which `decision` names.

    Complete the run if there is no next node. Pause it if it has reached a limit.
    """
    number, visits = run.step + 1, run.visits
    if run.graph.nodes[node].max_visits is not None:
        visits = {**visits, node: visits.get(node, 0) + 1}
    there = run.moved_to(decision.to, state, visits)
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


def _pause_run(run: Run, because: str) -> Transition:
    return Transition(run=run._replace(status=Status.PAUSED), lines=(Line(Event.RUN_PAUSED, because, Level.WARNING),))


def _wait_for_slot(run: Run, limit: str) -> Transition:
    """Park the run until the limit has a free slot. The attempt has not begun, so it keeps its number."""
    waited = _current_wait(run, WaitKind.LIMIT)
    wait = Wait(WaitKind.LIMIT, limit, since_us=None if waited is None else waited.since_us)
    return _park(run, wait, f"waits for the limit {limit!r:.200}")


# Nodes that call no tool.


def _park(run: Run, wait: Wait, message: str) -> Transition:
    """Park the run until `wait` is over. Log `message` unless the run was already parked for this wait."""
    line = Line(Event.RUN_WAITING, message, node=run.node, step=run.step + 1, attempt=run.attempt)
    lines = () if wait.since_us is not None else (line,)
    return Transition(run=run._replace(status=Status.WAITING), wait=wait, lines=lines)


def _after_sleep(run: Run, node: SleepNode, until: Moment | None, state_bytes_max: int) -> Transition:
    waited = _current_wait(run, WaitKind.SLEEP)
    if waited is None:
        return _park(run, _sleep_wait(run, node, until), f"sleeps {_describe_sleep(node)}")
    if not waited.is_over:
        return _park(run, _same_wait(waited), "")
    # Times are stored to the millisecond.
    is_early = until is not None and until.us // 1000 > run.claimed_us // 1000
    if _is_cut_short(node, until, waited, is_early):
        message = f"the timeout of {node.timeout_s} s ended the sleep early"
        return _fail(run, Failed("timeout", message), state_bytes_max)
    if until is not None and is_early:
        # The clock was set back while the run was parked: sleep on until the moment has come.
        return _park(run, _remaining_sleep(node, until, waited), "")
    return _complete_step(run, Changes({}))


def _sleep_wait(run: Run, node: SleepNode, until: Moment | None) -> Wait:
    if until is not None:
        if until.us > run.claimed_us + AHEAD_MAX_US:
            raise StateInvalid("the moment is more than a hundred years in the future")
        return Wait(WaitKind.SLEEP, due_us=until.us, later_s=node.timeout_s)
    times = [node.sleep, node.timeout_s]
    return Wait(WaitKind.SLEEP, later_s=min(float(time) for time in times if isinstance(time, int | float)))


def _remaining_sleep(node: SleepNode, until: Moment, waited: Waited) -> Wait:
    wait = Wait(WaitKind.SLEEP, due_us=until.us, since_us=waited.since_us)
    if node.timeout_s is None or waited.seen_us is None:
        return wait
    return wait._replace(later_s=node.timeout_s - (waited.seen_us - waited.since_us) / 1e6)


def _is_cut_short(node: SleepNode, until: Moment | None, waited: Waited, is_early: bool) -> bool:
    """Return whether the timeout ended the sleep. `is_early` says whether the moment `until` is still in the future."""
    if node.timeout_s is None:
        return False
    if until is not None:
        limit_us = waited.since_us + round(node.timeout_s * 1e6)
        has_come = waited.seen_us is None or waited.seen_us + 1000 > limit_us
        return has_come and (is_early or limit_us < until.us)
    return isinstance(node.sleep, int | float) and node.timeout_s < node.sleep


def _describe_sleep(node: SleepNode) -> str:
    return f"{node.sleep:g} s" if isinstance(node.sleep, int | float) else f"until {node.sleep.until:.200}"


def _after_receive(run: Run, node: SignalNode, found: Received | NoSignal, state_bytes_max: int) -> Transition:
    waited = _current_wait(run, WaitKind.SIGNAL)
    due_us = None if waited is None else waited.due_us
    if isinstance(found, Received) and (due_us is None or found.accepted_us <= due_us):
        return _complete_step(
            run, run.state.changes_setting(node.into, found.payload, state_bytes_max), consumes=found.number
        )
    if waited is None:
        wait = Wait(WaitKind.SIGNAL, node.signal, later_s=node.timeout_s)
        return _park(run, wait, f"waits for the signal {node.signal!r:.200}")
    if waited.is_over:
        message = f"no signal {node.signal!r:.200} within {node.timeout_s} s"
        return _fail(run, Failed("timeout", message), state_bytes_max)
    return _park(run, _same_wait(waited)._replace(name=node.signal), "")


def _after_gather(run: Run, node: GraphNode, gathered: Gathered, state_bytes_max: int) -> Transition:
    """Start more children, wait for the unfinished ones, join all when they have completed, or fail if one failed."""
    waited = _current_wait(run, WaitKind.CHILDREN)
    if gathered.failed is not None:
        number, status, message = gathered.failed
        which = f"child {number} {status}" + (f" (run {gathered.failed_id})" if gathered.failed_id else "")
        failure = Failed("child_failed", f"{which}{message and ': '}{message}")
        return _fail(run, failure, state_bytes_max)
    if gathered.states is not None:
        return _complete_step(
            run, run.state.changes_setting(node.into, join_states(node, gathered.states), state_bytes_max)
        )
    if waited is not None and waited.is_over:
        message = f"the children did not finish within {node.timeout_s} s"
        return _fail(run, Failed("timeout", message), state_bytes_max)
    found = plan_starts(run, node, gathered)
    if found.has_more:
        return Transition(run=run, starts=found.starts)
    wait = Wait(WaitKind.CHILDREN, later_s=node.timeout_s) if waited is None else _same_wait(waited)
    parked = _park(run, wait._replace(open_max=found.open_max), "waits for its children")
    return parked._replace(starts=found.starts)


def _current_wait(run: Run, kind: WaitKind) -> Waited | None:
    """Return the wait that the run was in when it was claimed, or None if it was in no wait of this kind."""
    return run.waited if run.waited is not None and run.waited.kind is kind else None


def _same_wait(waited: Waited) -> Wait:
    """Return a wait that continues `waited`."""
    return Wait(waited.kind, due_us=waited.due_us, since_us=waited.since_us)


# Failures.


def _fail(run: Run, failure: Failed, state_bytes_max: int) -> Transition:
    """Retry the step, follow an error edge, or end the run. Changes that the attempt made to the state are dropped."""
    # A suspected run keeps its count of crashes, so that its next attempt is isolated as well.
    if not is_suspect(run):
        run = run._replace(crashes=0)
    node = run.graph.nodes[_node_of(run)]
    error = RunError(failure.type, failure.message, _node_of(run), run.step + 1, run.attempt)
    line = _failure_line(error, failure.trace)
    failures = run.failures + 1
    if node.retry is not None and is_retried(node.retry, failure.type, failures):
        return _retry(run, error, line, backoff_s(node.retry, failures), failures)
    try:
        if (step := _catch(run, error, line, state_bytes_max)) is not None:
            return step
    except AttemptError as broken:
        error = error._replace(type=broken.type, message=str(broken))
        line = _failure_line(error)
    return _end_run(run, error, line)


def _lose_worker(run: Run, lost: WorkerLost, state_bytes_max: int) -> Transition:
    """Repeat the attempt without counting it for `retry`. Fail the node when it has lost too many workers in a row.

    If `retry` names the error type WORKER_LOST, the loss is a failure like any other.
    """
    failure = Failed(WORKER_LOST, lost.message)
    retry = run.graph.nodes[_node_of(run)].retry
    is_counted = retry is not None and retry.on is not None and WORKER_LOST in retry.on
    # The node fails at each multiple: a run that is resumed after such a failure may lose as many workers again.
    if is_counted or lost.losses % WORKERS_LOST_MAX == 0:
        return _fail(run, failure, state_bytes_max)
    error = RunError(failure.type, failure.message, _node_of(run), run.step + 1, run.attempt)
    seconds = WORKER_PAUSE_S * lost.losses
    return _retry(run._replace(crashes=0), error, _failure_line(error), seconds, run.failures)


def _retry(run: Run, error: RunError, line: Line, seconds: float, failures: int) -> Transition:
    line = line._replace(
        event=Event.STEP_RETRYING, level=Level.WARNING, message=f"retried in {seconds:g} s: {line.message}"
    )
    again = run._replace(status=Status.WAITING, attempt=run.attempt + 1, failures=failures)
    return Transition(run=again, error=error, lines=(line,), wait=Wait(WaitKind.BACKOFF, later_s=seconds))


def _catch(run: Run, error: RunError, line: Line, state_bytes_max: int) -> Transition | None:
    """Follow the first error edge that catches `error`, or return None if no edge does.

    The step adds the error's record to the state, and changes nothing else of it.
    """
    found = catch_error(run.graph, run.state, error, state_bytes_max)
    if found is None:
        return None
    stepped = _move_along(run, error.node, found.changes, found.state, found.decision)
    return stepped._replace(error=error, lines=(line, *stepped.lines))


def _end_run(run: Run, error: RunError, line: Line) -> Transition:
    failed = run._replace(status=Status.FAILED, failures=0)
    # The line before this one has the error's message.
    ending = line._replace(event=Event.RUN_FAILED, message=f"failed in step {error.step} ({error.type})", data="{}")
    return Transition(run=failed, error=error, lines=(line, ending))


def _failure_line(error: RunError, trace: str = "") -> Line:
    """Return the log line of a failure. If the tool raised, its `data` has the traceback."""
    message = f"{error.type}: {error.message}"
    data = codec.encode({"traceback": trace}) if trace else "{}"
    return Line(Event.STEP_FAILED, message, Level.ERROR, error.node, error.step, error.attempt, data)


def _node_of(run: Run) -> str:
    if run.node is None:
        raise ValueError(f"run {run.id} has no current node")
    return run.node
