"""One run of a simulation, with everything that a server would have stored about it."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from service.core import codec
from service.core.moves import NoSignal, Received
from service.core.run import Line, Run, RunError, Transition, Wait, Waited
from service.store.database.clock import text_of

JsonObject = dict[str, Any]


class Mail(NamedTuple):
    """A signal in a mailbox; `payload` is JSON text."""

    name: str
    payload: str
    accepted_us: int


@dataclass
class Member:
    """A run with its wait, its mailbox and its history. Times are whole milliseconds, in microseconds since 1970."""

    run: Run
    due_us: int | None
    """The time at which the run goes on if it is queued or waiting; None if the run does not wait for a time."""
    place: tuple[int, int, int] | None = None
    """For a child: the step and the attempt of the parent that started it, and its number among its siblings."""
    wait: Wait | None = None
    since_us: int = 0
    wait_due_us: int | None = None
    error: RunError | None = None
    started: bool = False
    steps: list[JsonObject] = field(default_factory=list)
    lines: list[JsonObject] = field(default_factory=list)
    attempts: list[JsonObject] = field(default_factory=list)
    """The failed attempts of the next step."""
    mailbox: dict[int, Mail] = field(default_factory=dict)
    accepted: int = 0

    def take_waited(self, now_us: int) -> Waited | None:
        """Return the wait that the run is in when it is claimed at `now_us`, or None if it is in none."""
        if self.wait is None:
            return None
        is_over = self.wait_due_us is not None and self.wait_due_us <= now_us
        return Waited(self.wait.kind, self.since_us, self.wait_due_us, is_over, now_us)

    def accept(self, mail: Mail) -> None:
        self.accepted += 1
        self.mailbox[self.accepted] = mail

    def oldest(self, name: str) -> Received | NoSignal:
        """Return the oldest signal `name` that no node has taken, or NoSignal."""
        for number, mail in self.mailbox.items():
            if mail.name == name:
                return Received(number, mail.payload, mail.accepted_us)
        return NoSignal()

    def log(self, lines: Sequence[Line], now_us: int) -> None:
        ts = text_of(now_us)
        for line in lines:
            self.lines.append(
                {
                    "seq": len(self.lines) + 1,
                    "ts": ts,
                    "level": str(line.level),
                    "event": str(line.event),
                    "node": line.node,
                    "step": line.step,
                    "attempt": line.attempt,
                    "message": line.message,
                    "data": codec.loads(line.data),
                }
            )

    def record(self, transition: Transition, began_us: int, now_us: int) -> None:
        """Add the step of a transition to `steps`, and an attempt that failed to `attempts`."""
        since_us = began_us if transition.since_us is None else transition.since_us
        times = {"started_at": text_of(since_us), "finished_at": text_of(now_us)}
        error, step = transition.error, transition.step
        if error is not None:
            told = {"type": error.type, "message": error.message}
            self.attempts.append({"attempt": error.attempt, "error": told, **times})
        if step is None:
            return
        if error is None:
            self.attempts.append({"attempt": step.attempt, "error": None, **times})
        changes, decision = step.changes, step.decision
        self.steps.append(
            {
                "step": transition.run.step,
                "node": step.node,
                "attempt": step.attempt,
                "attempts": self.attempts,
                "changes": {
                    "set": {key: codec.loads(entry.text) for key, entry in changes.set.items()},
                    "unset": list(changes.unset),
                },
                "decision": {
                    "to": decision.to,
                    "reason": str(decision.reason),
                    "evaluated": [deepcopy(each) for each in decision.evaluated],
                },
                **times,
                "duration_ms": (now_us - since_us) / 1000,
            }
        )
        self.attempts = []
