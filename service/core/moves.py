"""The moves of a run and their outcomes: plain values.

`next_move` decides the next move. The runner makes the move, and `after` turns its outcome into a transition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from service.core.state import Changes

# A process that calls isolated tools needs the moves, but not the types of graphs, which are slow to import.
if TYPE_CHECKING:
    from service.core.graph import GraphNode, SignalNode, SleepNode


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
    """Whether the node allows the engine to treat the tool as pure, if the tool is declared pure."""
    limit: str | None = None
    """The limit that the node names; None means the limit that the tool declares, if any."""
    resources: Mapping[str, int | float] | None = None
    """What the call demands of a worker of the cluster; None if the tool is called on the server."""


class PauseRun(NamedTuple):
    """Pause the run, because it has reached a limit."""

    because: str


class Sleep(NamedTuple):
    """Sleep for the node's seconds, or until the moment in the state."""

    node: SleepNode


class Receive(NamedTuple):
    """Take the oldest signal with the name that the node waits for out of the mailbox."""

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
    """The traceback of the tool's exception; empty if the tool raised none."""


class ProcessDied(NamedTuple):
    """Outcome of an isolated CallTool: the process ended during the call."""

    message: str


class WorkerLost(NamedTuple):
    """Outcome of a CallTool on a cluster: the worker died, or left the cluster, during the call."""

    message: str
    losses: int = 1
    """How many attempts of the step in a row have lost their worker, including this attempt."""


class NoSlot(NamedTuple):
    """Outcome of CallTool: the limit has no free slot for the attempt, so the tool was not called."""

    limit: str


class Moment(NamedTuple):
    """Outcome of a Sleep until a moment: that moment, in microseconds since 1970."""

    us: int


class Received(NamedTuple):
    """Outcome of Receive: the signal's number in the mailbox, its payload as JSON text, and its time of acceptance."""

    number: int
    payload: str
    accepted_us: int


class NoSignal(NamedTuple):
    """Outcome of Receive: the mailbox has no signal with the name that the node waits for."""


class Gathered(NamedTuple):
    """Outcome of Gather: the progress of the children that this attempt has started."""

    started: int
    open: int
    """How many of the started children are unfinished."""
    failed: tuple[int, str, str] | None = None
    """The first child that failed or was cancelled: its number, its status and its error's message."""
    states: Sequence[str] | None = None
    """The final states in the order of the children's numbers, as JSON texts; None unless all have completed."""
    failed_id: str | None = None
    """The run id of the child in `failed`."""


Outcome = Succeeded | Failed | ProcessDied | WorkerLost | NoSlot | Moment | Received | NoSignal | Gathered
