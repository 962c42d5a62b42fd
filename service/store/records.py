"""What the store tells about what it holds: frozen values, never rows. JSON inside them is text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from service.core.run import Run


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
    node: str
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
class Page:
    """Items and, where there are more, the cursor that leads to them."""

    items: tuple[Any, ...]
    next_cursor: Any = None
