"""A run, and what one commit does to it: values alone, for `moves` and `after` to decide on.

Made anew at each step, they are named tuples: a frozen dataclass takes three times as long to make.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from service.core.conditions import Decision
from service.core.graph import Graph
from service.core.state import Changes, State
from service.core.transitions import Status


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


class WaitKind(StrEnum):
    """What a parked run waits for."""

    BACKOFF = "backoff"
    SLEEP = "sleep"
    SIGNAL = "signal"
    CHILDREN = "children"


class Wait(NamedTuple):
    """Why a run is to be parked, and what wakes it: the earlier of its two times, if it has any."""

    kind: WaitKind
    name: str | None = None
    """Of the signal."""
    due_us: int | None = None
    """A moment, in microseconds since 1970; of a sleep by the calendar."""
    later_s: float | None = None
    """Seconds from when it began to wait."""
    since_us: int | None = None
    """When that was; None: now, at the commit."""
    open_max: int | None = None
    """Of children: the parent is woken when so many or fewer are not over, or when one has failed."""


class Waited(NamedTuple):
    """The wait from which a run was claimed; times in microseconds since 1970."""

    kind: WaitKind
    since_us: int
    due_us: int | None
    is_over: bool
    """Whether its time had come at the claim."""
    seen_us: int | None = None
    """The store's time at the claim."""


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
    """Takeovers from a dead server in a row, without a commit since; of a suspect, without a step since."""
    failures: int = 0
    """Failed attempts of the next step since the run last began or was resumed: what `retry` counts."""
    patches: int = 0
    """Steps that were patches, which `max_steps` does not count."""
    max_steps: int | None = None
    """In place of the graph's, once a resume has replaced it."""
    visits: Mapping[str, int] = {}
    """Steps at each node that has `max_visits`."""
    waited: Waited | None = None
    claimed_us: int = 0
    """What the database's clock said when it was claimed, in microseconds since 1970."""
    parent_id: str | None = None
    depth: int = 0
    """Of a child: how many runs it stands below."""

    @property
    def steps_max(self) -> int:
        return self.graph.max_steps if self.max_steps is None else self.max_steps


class Step(NamedTuple):
    """A committed transition, as the store keeps it."""

    node: str | None
    """None: a patch."""
    attempt: int
    changes: Changes
    decision: Decision


class RunError(NamedTuple):
    """Why a run failed; `step` is the one that could not be committed."""

    type: str
    message: str
    node: str
    step: int
    attempt: int


class Child(NamedTuple):
    """A run that a node starts: which of the node's children, and the state that it begins with."""

    number: int
    """From 0, in the order of the elements."""
    graph_id: str
    state: State


class Transition(NamedTuple):
    """What one commit does to a run."""

    run: Run
    """The run as it is afterwards."""
    step: Step | None = None
    error: RunError | None = None
    """Why an attempt, or with it the run, failed."""
    lines: tuple[Line, ...] = ()
    since_us: int | None = None
    """When the attempt that led to this began, where it was parked meanwhile."""
    wait: Wait | None = None
    """What a run that waits from now on waits for."""
    ends_wait: bool = False
    """Whether the wait from which the run was claimed is over and done with."""
    consumes: int | None = None
    """The number of the signal that the step takes out of the mailbox."""
    starts: tuple[Child, ...] = ()
    cancels_children: bool = False
    """Whether children that are not over are cancelled: their node has failed."""

    @property
    def is_more(self) -> bool:
        """Whether it does more than move its run and write down a step."""
        return (
            self.wait is not None
            or self.ends_wait
            or bool(self.run.visits)
            or self.consumes is not None
            or bool(self.starts)
            or self.cancels_children
        )
