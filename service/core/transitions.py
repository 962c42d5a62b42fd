"""The statuses of a run and the one table of legal transitions.

The CHECKs derive from the sets below; the tests hold every verb of the store against the table.
"""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


LEGAL: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.RUNNING, Status.PAUSED, Status.CANCELLED}),
    # running → running: a step was committed, or another server took over.
    Status.RUNNING: frozenset(Status),
    Status.WAITING: frozenset({Status.RUNNING, Status.PAUSED, Status.CANCELLED}),
    Status.PAUSED: frozenset({Status.QUEUED, Status.WAITING, Status.CANCELLED}),
    Status.FAILED: frozenset({Status.QUEUED}),
    Status.COMPLETED: frozenset(),
    Status.CANCELLED: frozenset(),
}

OVER = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})
"""Nothing more happens by itself, and no line is added."""

CLAIMABLE = frozenset({Status.QUEUED, Status.RUNNING, Status.WAITING})
"""A run with one of these may be claimed by any server, as soon as its due time has come, if it has one."""


def is_legal(before: Status, after: Status) -> bool:
    return after in LEGAL[before]
