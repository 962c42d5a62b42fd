"""A run, and the transition that one commit makes. `next_move` and `after` work on these plain values.

They are named tuples because each step makes new ones, and a frozen dataclass takes three times as long to make.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from service.core.state import Changes, State
from service.core.syntax.trace_context import Trace
from service.core.transitions import Status

if TYPE_CHECKING:  # The types of graphs are slow to import, and much of the store only needs the enumerations below.
    from service.core.graph import Graph
    from service.core.routing.conditions import Decision


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
    """A log line before it is stored; the store assigns `seq` and `ts`."""

    event: Event
    message: str
    level: Level = Level.INFO
    node: str | None = None
    step: int | None = None
    attempt: int | None = None
    data: str = "{}"
    """A JSON object, as text."""
    at: float | None = None
    """The time of writing, on the monotonic clock of the writing process; None means the time of the commit."""


class WaitKind(StrEnum):
    """What a parked run waits for."""

    BACKOFF = "backoff"
    SLEEP = "sleep"
    SIGNAL = "signal"
    CHILDREN = "children"
    LIMIT = "limit"


class Wait(NamedTuple):
    """Why to park a run, and what wakes it. If both `due_us` and `later_s` are given, the earlier time counts."""

    kind: WaitKind
    name: str | None = None
    """The name of the signal or of the limit."""
    due_us: int | None = None
    """A moment in microseconds since 1970."""
    later_s: float | None = None
    """Seconds after the commit that parks the run."""
    since_us: int | None = None
    """The beginning of the wait, in microseconds since 1970; None means at the commit."""
    open_max: int | None = None
    """For a parent: wake it when at most this many children are unfinished, or when one failed or was cancelled."""


class Waited(NamedTuple):
    """The wait that a run was in when it was claimed; times in microseconds since 1970."""

    kind: WaitKind
    since_us: int
    due_us: int | None
    is_over: bool
    """Whether the time of the wait had come at the claim."""
    seen_us: int | None = None
    """The store's time at the claim, which may be ahead of the database's clock; None if unknown."""


class Run(NamedTuple):
    """A run as it stands between two steps."""

    id: str
    graph: Graph
    status: Status
    step: int
    """The number of committed steps."""
    node: str | None
    """The node to execute next; for a failed run, the node that failed; None after the last step."""
    state: State
    attempt: int = 1
    """The number of the next attempt of the next step, from 1."""
    crashes: int = 0
    """How many servers in a row have died during the next step.

    A failed attempt sets the count back to 0, unless the run is a suspect.
    """
    failures: int = 0
    """Failed attempts of the next step since the run was started or resumed, as `retry` counts them."""
    patches: int = 0
    """The number of steps that were patches, which `max_steps` does not count."""
    max_steps: int | None = None
    """The limit that a resume has set; None means the graph's `max_steps`."""
    visits: Mapping[str, int] = {}
    """The number of steps at each node that has `max_visits`."""
    waited: Waited | None = None
    claimed_us: int = 0
    """The database's time at the claim, in microseconds since 1970."""
    parent_id: str | None = None
    depth: int = 0
    """The number of ancestors of a child run."""
    priority: int = 0
    """Runs with a higher priority are claimed first. A child has the priority of its parent."""
    trace: Trace | None = None
    """The trace that the run belongs to."""

    @property
    def waited_for_slot(self) -> Waited | None:
        """The wait that the run was in when it was claimed, if it waited for a slot of a limit; otherwise None."""
        return self.waited if self.waited is not None and self.waited.kind is WaitKind.LIMIT else None

    def moved_to(self, node: str | None, state: State, visits: Mapping[str, int]) -> Run:
        """Return the run after one more step, which leads to `node`.

        All fields are spelled out because `_replace` takes twice as long.
        """
        attempt, crashes, failures, waited = 1, 0, 0, None
        return Run(
            self.id,
            self.graph,
            Status.RUNNING,
            self.step + 1,
            node,
            state,
            attempt,
            crashes,
            failures,
            self.patches,
            self.max_steps,
            visits,
            waited,
            self.claimed_us,
            self.parent_id,
            self.depth,
            self.priority,
            self.trace,
        )


class Step(NamedTuple):
    """A committed transition, as the store keeps it."""

    node: str | None
    """None if the step is a patch."""
    attempt: int
    changes: Changes
    decision: Decision


class RunError(NamedTuple):
    """Why an attempt or a run failed; `step` is the step that could not be committed."""

    type: str
    message: str
    node: str
    step: int
    attempt: int


class Child(NamedTuple):
    """A child run that a node starts."""

    number: int
    """The child's position among the children of the node, from 0."""
    graph_id: str
    state: State
    inputs: frozenset[str] = frozenset()
    """The keys whose values come from the parent's state. All children of the node get the same values."""


class Transition(NamedTuple):
    """Everything that one commit changes."""

    run: Run
    """The run after the commit."""
    step: Step | None = None
    error: RunError | None = None
    """The failure of the attempt, or of the run."""
    lines: tuple[Line, ...] = ()
    since_us: int | None = None
    """The time at which the attempt began, in microseconds since 1970, if the run was parked during the attempt."""
    wait: Wait | None = None
    """What the run waits for from now on."""
    ends_wait: bool = False
    """Whether to remove the wait that the run was in when it was claimed."""
    consumes: int | None = None
    """The number of the signal to take out of the mailbox."""
    starts: tuple[Child, ...] = ()
    """Child runs to start."""
    cancels_children: bool = False
    """Whether to cancel the unfinished children, because their node failed."""

    @property
    def has_side_effects(self) -> bool:
        """Whether the commit writes anything besides the run's row, steps, failed attempts and log lines."""
        return (
            self.wait is not None
            or self.ends_wait
            or bool(self.run.visits)
            or self.consumes is not None
            or bool(self.starts)
            or self.cancels_children
        )
