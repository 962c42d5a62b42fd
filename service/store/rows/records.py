"""What the store returns: frozen values, never rows. JSON in them is text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from service.core.run import Run, WaitKind
from service.core.state import State
from service.core.transitions import Status


class Lease(NamedTuple):
    """The right to write a run. Every write names the token, and each claim raises it."""

    run_id: str
    token: int


@dataclass(frozen=True, slots=True)
class Claimed:
    lease: Lease
    run: Run


@dataclass(frozen=True, slots=True)
class GraphRecord:
    graph_id: str
    name: str
    created_at: str
    definition: str | None = None
    """Canonical JSON. None in a page of graphs, whose size would otherwise have no bound."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run without its state and lines."""

    run_id: str
    graph_id: str
    status: str
    current_node: str | None
    step: int
    error: str | None
    tags: str
    created_at: str
    started_at: str | None
    finished_at: str | None
    last_seq: int
    parent_id: str | None = None
    parent_step: int | None = None
    """For a child: the step of its parent that will join it."""
    forked_from_id: str | None = None
    forked_from_step: int | None = None
    """For a fork: the step after which the other run had the state that this run began with."""
    schedule_name: str | None = None
    schedule_tick: str | None = None
    """For a run of a schedule: the tick that started it. None: somebody has triggered it."""


@dataclass(frozen=True, slots=True)
class LineRecord:
    seq: int
    ts: str
    level: str
    event: str
    node: str | None
    step: int | None
    attempt: int | None
    message: str
    data: str


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    attempt: int
    error: str | None
    started_at: str
    finished_at: str


@dataclass(frozen=True, slots=True)
class StepRecord:
    step: int
    node: str | None
    """None: a patch."""
    attempt: int
    attempts: tuple[AttemptRecord, ...]
    set: dict[str, str]
    """JSON text by top-level key that the step set."""
    unset: tuple[str, ...]
    next_node: str | None
    reason: str
    evaluated: str
    started_at: str
    finished_at: str
    duration_ms: float


@dataclass(frozen=True, slots=True)
class Branch:
    """A place in a run from which a fork can go on."""

    graph_id: str
    step: int
    node: str | None
    """The node that followed the step; for step 0, the run's first node. None: the step ended the run."""
    state: State
    priority: int = 0
    """The run's priority, which a fork keeps."""


@dataclass(frozen=True, slots=True)
class WaitRecord:
    """What a run waits for, even while it is paused."""

    kind: str
    """A WaitKind."""
    name: str | None
    """Name of the signal or of the limit."""
    since: str
    due_at: str | None
    open: int | None = None
    """For a run that waits for children: how many of them are unfinished."""


class HeldRecord(NamedTuple):
    """A run of a family that waits, is paused or lacks a tool, so that no server executes it."""

    run_id: str
    status: str
    kind: str | None
    """A WaitKind. None: the run waits for nothing, and is only paused or lacks a tool."""
    name: str | None
    """Name of the signal or of the limit."""
    due_at: str | None
    missing_tool: str | None = None
    """The tool that the run needs, if no server that has it has claimed the run yet."""

    @property
    def needs_somebody(self) -> bool:
        """Whether the run needs a person, a signal or another server to go on."""
        return self.status == Status.PAUSED or self.kind == WaitKind.SIGNAL or self.missing_tool is not None


@dataclass(frozen=True, slots=True)
class WhyRecord:
    """Everything that explains where a run is, as of one moment."""

    run: RunRecord
    wait: WaitRecord | None
    pause_asked: bool
    """Whether the run pauses at its next step boundary."""
    lease_owner: str | None
    """The server that executes the run."""
    last_step: StepRecord | None
    attempts: tuple[AttemptRecord, ...]
    """The failed attempts of the next step; for a completed run, of its last step."""
    paused_because: str | None
    """For a paused run: the message of its run_paused line."""
    queued_since: str
    """For a queued run: the time since which it waits for a server."""
    missing_tool: str | None = None
    """For a queued run: the tool that servers lacked, so that it waits for one that has it."""
    blocked_by: str | None = None
    """For a running run: the data of its last line about an async tool that blocks it or has stopped blocking it."""
    on_cluster: str | None = None
    """For a running run: the data of its last line about the worker that calls its tool, or about the wait for one."""


@dataclass(frozen=True, slots=True)
class DivergenceRecord:
    """A step after which the other graph would have led the run elsewhere."""

    run_id: str
    step: int
    node: str
    went: str | None
    would_go: str | None
    because: str


@dataclass(frozen=True, slots=True)
class BacktestRecord:
    runs: int
    steps: int
    """Steps at which the other graph was asked."""
    diverging_runs: int
    examples: tuple[DivergenceRecord, ...]
    """The first divergences; not all."""


@dataclass(frozen=True, slots=True)
class Page:
    """Items, and the cursor for the next page. A cursor of None means that this is the last page."""

    items: tuple[Any, ...]
    next_cursor: Any = None
