"""The statuses of a run, and the table of legal transitions.

The CHECKs of the database derive from the sets below, and the tests check every command of the store against the table.
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


class Command(StrEnum):
    """The commands of the store that change the status of a run."""

    CLAIM = "claim"
    COMMIT = "commit"
    RELEASE = "release"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


LEGAL: dict[Status, dict[Status, frozenset[Command]]] = {
    Status.QUEUED: {
        Status.RUNNING: frozenset({Command.CLAIM}),
        Status.PAUSED: frozenset({Command.PAUSE}),
        Status.CANCELLED: frozenset({Command.CANCEL}),
    },
    Status.RUNNING: {
        Status.RUNNING: frozenset({Command.COMMIT, Command.CLAIM}),  # A claim takes over from a dead server.
        Status.QUEUED: frozenset({Command.RELEASE}),
        Status.WAITING: frozenset({Command.COMMIT}),
        Status.PAUSED: frozenset({Command.COMMIT, Command.RELEASE}),  # A limit was reached, or a pause was asked for.
        Status.COMPLETED: frozenset({Command.COMMIT}),
        Status.FAILED: frozenset({Command.COMMIT}),
        Status.CANCELLED: frozenset({Command.CANCEL}),
    },
    Status.WAITING: {
        Status.RUNNING: frozenset({Command.CLAIM}),
        Status.PAUSED: frozenset({Command.PAUSE}),
        Status.CANCELLED: frozenset({Command.CANCEL}),
    },
    Status.PAUSED: {
        Status.QUEUED: frozenset({Command.RESUME}),
        Status.WAITING: frozenset({Command.RESUME}),
        Status.CANCELLED: frozenset({Command.CANCEL}),
    },
    Status.FAILED: {Status.QUEUED: frozenset({Command.RESUME})},
    Status.COMPLETED: {},
    Status.CANCELLED: {},
}
"""The legal transitions: for each status, the statuses that may follow, and the commands that cause each transition.

A new run is queued.
"""

OVER = frozenset(status for status, following in LEGAL.items() if Status.CANCELLED not in following)
"""The statuses of a run that is over: it cannot be cancelled, and it does nothing more unless it is resumed."""

CLAIMABLE = frozenset(
    status for status, following in LEGAL.items() if Command.CLAIM in following.get(Status.RUNNING, ())
)
"""The statuses in which any server may claim a run as soon as the run is due. A waiting run may have no due time."""
