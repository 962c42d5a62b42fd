"""What the store tells about what it holds: frozen values, never rows. JSON inside them is text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from service.core.run import Run, WaitKind
from service.core.state import State
from service.core.transitions import Status


class Lease(NamedTuple):
    """The right to write a run: every write names the token, and a newer claim has a higher one."""

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
    """Its canonical JSON text; None in a page, which would grow without bound."""


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
    """Of a child: the step of its parent that is to join it."""
    forked_from_id: str | None = None
    forked_from_step: int | None = None
    """Of a fork: the step after which the other run had the state that this one began with."""


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
    """The JSON text of each top-level key that the step set."""
    unset: tuple[str, ...]
    next_node: str | None
    reason: str
    evaluated: str
    started_at: str
    finished_at: str
    duration_ms: float


@dataclass(frozen=True, slots=True)
class Branch:
    """A place in a run from which another can go on."""

    graph_id: str
    step: int
    node: str | None
    """Where that step went (of step 0: where the run began); None where it ended the run."""
    state: State


@dataclass(frozen=True, slots=True)
class WaitRecord:
    """What a run waits for, also while it is paused meanwhile."""

    kind: str
    """A WaitKind."""
    name: str | None
    """Of the signal."""
    since: str
    due_at: str | None
    open: int | None = None
    """Of children: how many are not over."""


class HeldRecord(NamedTuple):
    """A run that others wait for, and that is executed by nobody just now."""

    run_id: str
    status: str
    kind: str | None
    """The WaitKind of what it waits for; None of one that is only paused."""
    name: str | None
    """Of the signal."""
    due_at: str | None

    @property
    def needs_somebody(self) -> bool:
        """Whether it does not go on by itself, or only when its patience ends."""
        return self.status == Status.PAUSED or self.kind == WaitKind.SIGNAL


@dataclass(frozen=True, slots=True)
class WhyRecord:
    """All that tells why a run is where it is, of one moment."""

    run: RunRecord
    wait: WaitRecord | None
    pause_asked: bool
    """A pause that takes effect at the next step boundary."""
    lease_owner: str | None
    """The server that carries the run."""
    last_step: StepRecord | None
    attempts: tuple[AttemptRecord, ...]
    """The failed ones of the step that comes next; of a completed run those of its last step."""
    paused_because: str | None
    """Of a run that is paused: the message of the line that says so."""
    queued_since: str
    """When it last came to rest or moved: of a queued run, since when it waits for a server."""


@dataclass(frozen=True, slots=True)
class DivergenceRecord:
    """A step after which another graph would have led its run elsewhere."""

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
    """At how many the other graph was asked."""
    diverging_runs: int
    examples: tuple[DivergenceRecord, ...]
    """The first of them; not all."""


@dataclass(frozen=True, slots=True)
class Page:
    """Items and, where there are more, the cursor that leads to them."""

    items: tuple[Any, ...]
    next_cursor: Any = None
