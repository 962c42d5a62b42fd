"""How a run moves. Two pure functions: `next_move` says what to do, `after` what has then happened.

The runner carries values between them and the store; whatever they return is committed as one
transaction, so a run is at every moment its graph, its state and its position. The values made at each step
are named tuples: a frozen dataclass takes three times as long to make.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, assert_never

from service.core.conditions import Decision, decide
from service.core.errors import AttemptError
from service.core.graph import Graph
from service.core.state import Changes, State
from service.core.transitions import Status

CRASHES_MAX = 5
"""So many takeovers in a row, none with a commit since the one before, condemn a run."""


class Level(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Event(StrEnum):
    RUN_STARTED = "run_started"
    STEP_COMPLETED = "step_completed"
    STEP_FAILED = "step_failed"
    STEP_RETRYING = "step_retrying"
    RUN_RESUMED = "run_resumed"
    RUN_WAITING = "run_waiting"
    RUN_PAUSED = "run_paused"
    RUN_COMPLETED = "run_completed"
    RUN_FAILED = "run_failed"
    RUN_CANCELLED = "run_cancelled"
    LOG = "log"


class Line(NamedTuple):
    """A log line on its way to the store, which gives it `seq` and `ts`."""

    event: Event
    message: str
    level: Level = Level.INFO
    node: str | None = None
    step: int | None = None
    attempt: int | None = None
    data: str = "{}"
    """A JSON object, as text."""
    at: float | None = None
    """When it was written, on the monotonic clock of the writing process; None: at the commit."""


class Run(NamedTuple):
    """One execution of a graph, between two steps."""

    id: str
    graph: Graph
    status: Status
    step: int
    """The number of committed steps."""
    node: str | None
    """The node to run next; of a failed run the one where it failed."""
    state: State
    attempt: int = 1
    """Which try of the next step the next attempt is."""
    crashes: int = 0
    """Takeovers from a dead server in a row, without a commit since."""


class CallTool(NamedTuple):
    """Call the tool of the run's node."""

    node: str
    tool: str
    metadata: dict[str, Any]
    step: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Condemn:
    """Fail the run without another attempt: its step brings down every server that tries it."""

    node: str


Move = CallTool | Condemn


class Succeeded(NamedTuple):
    changes: Changes


class Failed(NamedTuple):
    type: str
    message: str


Outcome = Succeeded | Failed


class Step(NamedTuple):
    """A committed transition, as the store keeps it."""

    node: str
    attempt: int
    changes: Changes
    decision: Decision


@dataclass(frozen=True, slots=True)
class RunError:
    """Why a run failed; `step` is the one that could not be committed."""

    type: str
    message: str
    node: str
    step: int
    attempt: int


class Transition(NamedTuple):
    """What one commit does to a run."""

    run: Run
    """The run as it is afterwards."""
    step: Step | None = None
    error: RunError | None = None
    was_tried: bool = True
    """Whether an attempt led to this."""
    lines: tuple[Line, ...] = ()


def next_move(run: Run) -> Move | None:
    """What to do for `run` now; None where it rests."""
    if run.status is not Status.RUNNING or run.node is None:
        return None
    if run.crashes >= CRASHES_MAX:
        return Condemn(run.node)
    node = run.graph.nodes[run.node]
    return CallTool(run.node, node.tool, node.metadata, run.step + 1, run.attempt)


def after(run: Run, move: Move, outcome: Outcome | None = None) -> Transition:
    """What has happened once `move` came out as `outcome` (None for a move that calls nothing)."""
    match move, outcome:
        case Condemn(), _:
            message = f"the server died {run.crashes} times in a row while this step was tried"
            condemned = run._replace(attempt=run.attempt - 1)  # The last one that was made.
            return _failed(condemned, Failed("crash_loop", message))._replace(was_tried=False)
        case CallTool(), Failed():
            return _failed(run, outcome)
        case CallTool(), Succeeded(changes=changes):
            try:
                return _committed(run, changes)
            except AttemptError as error:
                return _failed(run, Failed(error.type, str(error)))
        case CallTool(), None:
            raise TypeError("a tool's call has an outcome")
        case _:
            assert_never(move)


def _committed(run: Run, changes: Changes) -> Transition:
    """The step is done: where its edges lead from the new state. ConditionError undoes it."""
    node = _node_of(run)
    state = run.state.apply(changes)
    decision = decide(run.graph.edges_from(node), state)
    number = run.step + 1
    if decision.to is None:
        status, ending = Status.COMPLETED, Line(Event.RUN_COMPLETED, f"completed after step {number}")
    elif number >= run.graph.max_steps:
        message = f"reached max_steps: {number} of {run.graph.max_steps} steps"
        status, ending = Status.PAUSED, Line(Event.RUN_PAUSED, message, Level.WARNING)
    else:
        status, ending = Status.RUNNING, None
    done = Line(
        Event.STEP_COMPLETED,
        f"{node:.200} → {decision.to or 'end':.200} ({decision.reason})",
        node=node,
        step=number,
        attempt=run.attempt,
    )
    return Transition(
        run=run._replace(status=status, step=number, node=decision.to, state=state, attempt=1, crashes=0),
        step=Step(node, run.attempt, changes, decision),
        lines=(done,) if ending is None else (done, ending),
    )


def _failed(run: Run, failure: Failed) -> Transition:
    """The run ends; its last good state stands, and nothing of the step is kept but the error."""
    error = RunError(failure.type, failure.message, _node_of(run), run.step + 1, run.attempt)
    place: dict[str, Any] = {"node": error.node, "step": error.step, "attempt": error.attempt}
    message = f"{failure.type}: {failure.message}"
    return Transition(
        run=run._replace(status=Status.FAILED),
        error=error,
        lines=(
            Line(Event.STEP_FAILED, message, Level.ERROR, **place),
            Line(Event.RUN_FAILED, message, Level.ERROR, **place),
        ),
    )


def _node_of(run: Run) -> str:
    if run.node is None:
        raise ValueError(f"run {run.id} is at no node")
    return run.node
