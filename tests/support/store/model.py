"""What the store should hold, as plain objects: the model that `test_model` holds it against."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from service.core.run import Run, Transition
from service.core.transitions import LEGAL, Status
from service.store.commands.servers import AHEAD_MAX, FORGET_S
from service.store.rows.records import Lease
from tests.support.store.harness import LEASE_S


@dataclass
class ModelRun:
    """What the store should hold of one run."""

    run_id: str
    due_at: float | None
    states: list[dict[str, Any]]
    status: Status = Status.QUEUED
    step: int = 0
    owner: str | None = None
    token: int = 0
    attempt: int = 1
    crashes: int = 0
    in_flight: bool = False
    seen_before: bool = False
    events: list[str] = field(default_factory=list)
    lost_attempts: list[tuple[int, int, str]] = field(default_factory=list)

    def become(self, status: Status) -> None:
        assert status in LEGAL[self.status], (self.status, status)
        self.status = status
        if status is not Status.RUNNING:
            self.owner = None
            self.due_at = None

    def claimed(self, server: str, until: float) -> None:
        taken_over = self.status is Status.RUNNING
        crashed = taken_over and self.in_flight
        if crashed:
            self.lost_attempts.append((self.step + 1, self.attempt, "server_lost"))
            self.attempt += 1
            self.crashes += 1
        self.events.append("run_resumed" if taken_over or self.seen_before else "run_started")
        self.become(Status.RUNNING)
        self.in_flight = not taken_over
        self.seen_before = True
        self.owner, self.due_at = server, until
        self.token += 1

    def moved(self, transition: Transition, line_count: int) -> None:
        self.events += ["log"] * line_count + [line.event.value for line in transition.lines]
        self.crashes = 0
        self.become(transition.run.status)
        if transition.step is None:
            assert transition.error is not None
            if transition.error.type == "crash_loop":
                self.attempt -= 1  # The last attempt counts, and is noted as lost already.
            else:
                self.lost_attempts.append((self.step + 1, self.attempt, transition.error.type))
        else:
            self.step += 1
            self.states.append(transition.run.state.to_object())
            self.attempt = 1
            self.in_flight = True

    def released(self, now: float, *, interrupted: bool) -> None:
        self.become(Status.QUEUED)
        self.due_at = now
        if interrupted:
            self.lost_attempts.append((self.step + 1, self.attempt, "interrupted"))
            self.attempt += 1


@dataclass(repr=False)
class Handle:
    """What a server believes to hold; it may be long gone."""

    server: str
    lease: Lease
    run: Run
    last: Transition | None = None
    last_chain: list[Transition] | None = None


class ModelServers:
    """When each server was last seen and how much it did then; and the rule of fairness."""

    def __init__(self) -> None:
        self.seen: dict[str, tuple[float, int]] = {}
        self._told: dict[str, int] = {}
        """What each server has said itself, whatever others made of that."""

    def note(self, server: str, now: float, active: int) -> None:
        self.seen[server] = (now, active)
        self._told[server] = active

    def forget(self, before: float) -> bool:
        """Drop those not seen since `before`; whether there was one."""
        count = len(self.seen)
        self.seen = {server: seen for server, seen in self.seen.items() if seen[0] >= before}
        return len(self.seen) < count

    def join(self, server: str, now: float) -> bool:
        forgotten = self.forget(now - FORGET_S)
        self.note(server, now, 0)
        return forgotten

    def share(self, server: str, now: float, count: int, active: int) -> int:
        """No more than brings `server` AHEAD_MAX runs ahead of the idlest of the others that live."""
        others = [does for other, (at, does) in self.seen.items() if other != server and at > now - LEASE_S]
        if self._told.get(server) != active:
            self.note(server, now, active)
        return max(0, min([count, *(does + AHEAD_MAX - active for does in others)]))

    def rows(self) -> list[tuple[str, float, int]]:
        return sorted((server, at, active) for server, (at, active) in self.seen.items())
