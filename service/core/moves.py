"""Decide the next move of a run. The runner makes the move, and `after` turns its outcome into a transition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, assert_never

from service.core.graph import GraphNode, SignalNode, SleepNode, ToolNode
from service.core.run import Run
from service.core.state import Changes
from service.core.transitions import Status

CRASHES_MAX = 5
"""After this many takeovers without a commit in between, the step is only called in a separate process."""


class CallTool(NamedTuple):
    """Call the tool of the run's node."""

    node: str
    tool: str
    metadata: dict[str, Any]
    step: int
    attempt: int
    timeout_s: float | None = None
    isolate: bool = False
    """Whether to call the tool in a separate process."""
    may_be_pure: bool = True
    """Whether the node lets the tool count as pure, if it was declared so."""
    limit: str | None = None
    """The limit that the node names; None leaves it to the tool."""
    resources: Mapping[str, int | float] | None = None
    """What the call demands of a worker of the cluster; None if the server makes it."""


class PauseRun(NamedTuple):
    """Pause the run, because it has reached a limit."""

    because: str


class Sleep(NamedTuple):
    """Sleep for the node's seconds, or until the moment in the state."""

    node: SleepNode


class Receive(NamedTuple):
    """Take the oldest signal with the node's name out of the mailbox."""

    node: SignalNode


class Gather(NamedTuple):
    """Start the children of the node, and join them when all are done."""

    node: GraphNode
    step: int
    attempt: int


Move = CallTool | PauseRun | Sleep | Receive | Gather


class Succeeded(NamedTuple):
    changes: Changes


class Failed(NamedTuple):
    type: str
    message: str
    trace: str = ""
    """The traceback of the tool's exception."""


class ProcessDied(NamedTuple):
    """Outcome of an isolated CallTool: the process ended during the call."""

    message: str


class WorkerLost(NamedTuple):
    """Outcome of a CallTool on a cluster: the worker died, or left the cluster, during the call."""

    message: str
    losses: int = 1
    """How many attempts of the step in a row have ended so, with this one."""


class NoSlot(NamedTuple):
    """Outcome of CallTool: the limit has no free slot for the attempt, so the tool was not called."""

    limit: str


class Moment(NamedTuple):
    """Outcome of a Sleep until a moment: that moment, in microseconds since 1970."""

    us: int


class Received(NamedTuple):
    """Outcome of Receive: the signal's number in the mailbox, its payload as JSON text, and when it was accepted."""

    number: int
    payload: str
    accepted_us: int


class NoSignal(NamedTuple):
    """Outcome of Receive: the mailbox has no such signal."""


class Gathered(NamedTuple):
    """Outcome of Gather: the progress of the children that this attempt has started."""

    started: int
    open: int
    """How many of them are unfinished."""
    failed: tuple[int, str, str] | None = None
    """The first child that failed or was cancelled: its number, its status and its error's message."""
    states: Sequence[str] | None = None
    """The final states in order, as JSON texts; None until all children have completed."""
    failed_id: str | None = None
    """The run id of the child in `failed`."""


Outcome = Succeeded | Failed | ProcessDied | WorkerLost | NoSlot | Moment | Received | NoSignal | Gathered


def next_move(run: Run) -> Move | None:
    """Return the next move of `run`, or None if it has nothing to do now."""
    if run.status is not Status.RUNNING or run.node is None:
        return None
    # This happens if a run is resumed at its limit: the commit that first reaches a limit pauses the run itself.
    if (reason := limit_reached(run)) is not None:
        return PauseRun(reason)
    node = run.graph.nodes[run.node]
    match node:
        case ToolNode():
            resources = None if node.on is None else node.on.cluster.resources
            isolate = node.isolate or (is_suspect(run) and resources is None)
            place = (run.step + 1, run.attempt, node.timeout_s)
            return CallTool(run.node, node.tool, node.metadata, *place, isolate, node.pure, node.limit, resources)
        case SleepNode():
            return Sleep(node)
        case SignalNode():
            return Receive(node)
        case GraphNode():
            return Gather(node, run.step + 1, run.attempt)
        case _:
            assert_never(node)


def is_suspect(run: Run) -> bool:
    """Return whether the run is suspected of bringing down the servers that execute it."""
    return run.crashes >= CRASHES_MAX


def limit_reached(run: Run) -> str | None:
    """Return the limit that forbids the run's next step, or None."""
    made, graph = run.step - run.patches, run.graph
    steps_max = graph.max_steps if run.max_steps is None else run.max_steps
    if made >= steps_max:
        return f"reached max_steps: {made} of {steps_max} steps"
    if run.node is not None:
        visits_max = graph.nodes[run.node].max_visits
        if visits_max is not None and run.visits.get(run.node, 0) >= visits_max:
            return f"reached max_visits of {run.node:.200}: {visits_max}"
    return None
