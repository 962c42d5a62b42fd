"""What to do next for a run, and how that can come out. `next_move` is pure: the runner does what it says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, assert_never

from service.core.graph import GraphNode, SignalNode, SleepNode, ToolNode
from service.core.run import Run
from service.core.state import Changes
from service.core.transitions import Status

CRASHES_MAX = 5
"""After so many takeovers in a row, none with a commit since the one before, a step is tried in isolation only."""


class CallTool(NamedTuple):
    """Call the tool of the run's node."""

    node: str
    tool: str
    metadata: dict[str, Any]
    step: int
    attempt: int
    timeout_s: float | None = None
    isolate: bool = False
    """In a process of its own."""


class Hold(NamedTuple):
    """Pause the run: it stands at a limit."""

    because: str


class Sleep(NamedTuple):
    """Let time pass: how much of it is in the node, or in the state."""

    node: SleepNode


class Receive(NamedTuple):
    """Take the oldest signal of the node's name out of the mailbox."""

    node: SignalNode


class Gather(NamedTuple):
    """Look after the children of the node: start those that are to be started, join them when all are done."""

    node: GraphNode
    step: int
    attempt: int


Move = CallTool | Hold | Sleep | Receive | Gather


class Succeeded(NamedTuple):
    changes: Changes


class Failed(NamedTuple):
    type: str
    message: str
    trace: str = ""
    """The traceback of what a tool has raised."""


class Died(NamedTuple):
    """Of CallTool in isolation: the process ended under the call."""

    message: str


class Instant(NamedTuple):
    """Of Sleep until a moment: which, in microseconds since 1970."""

    us: int


class Received(NamedTuple):
    """Of Receive: the signal's number in the mailbox, its payload as JSON text, when it was accepted."""

    number: int
    payload: str
    accepted_us: int


class Nothing(NamedTuple):
    """Of Receive: the mailbox has no such signal."""


class Gathered(NamedTuple):
    """Of Gather: how far the children are that this attempt has started."""

    started: int
    open: int
    """Of those, how many are not over."""
    failed: tuple[int, str, str] | None = None
    """The first that failed or was cancelled: its number, its status, its error's message."""
    states: Sequence[str] | None = None
    """The final states in order as JSON texts, once all that there are to be are done."""
    failed_id: str | None = None
    """The id of the run that `failed` tells of."""


Outcome = Succeeded | Failed | Died | Instant | Received | Nothing | Gathered


def next_move(run: Run) -> Move | None:
    """What to do for `run` now; None where it rests."""
    if run.status is not Status.RUNNING or run.node is None:
        return None
    # Of a run that is resumed at its limit; otherwise the commit that reached it has paused the run.
    if (reason := limit_reached(run)) is not None:
        return Hold(reason)
    node = run.graph.nodes[run.node]
    match node:
        case ToolNode():
            isolate = node.isolate or is_suspect(run)
            return CallTool(run.node, node.tool, node.metadata, run.step + 1, run.attempt, node.timeout_s, isolate)
        case SleepNode():
            return Sleep(node)
        case SignalNode():
            return Receive(node)
        case GraphNode():
            return Gather(node, run.step + 1, run.attempt)
        case _:
            assert_never(node)


def is_suspect(run: Run) -> bool:
    """Whether the run's step seems to bring down every server that tries it."""
    return run.crashes >= CRASHES_MAX


def limit_reached(run: Run) -> str | None:
    """Why the run may not make its next step, if so."""
    made = run.step - run.patches
    if made >= run.steps_max:
        return f"reached max_steps: {made} of {run.steps_max} steps"
    if run.node is not None:
        visits_max = run.graph.nodes[run.node].max_visits
        if visits_max is not None and run.visits.get(run.node, 0) >= visits_max:
            return f"reached max_visits of {run.node:.200}: {visits_max}"
    return None
