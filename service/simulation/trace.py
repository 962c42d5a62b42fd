"""What a simulation returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from service.simulation.member import JsonObject, Member
from service.store.database.clock import text_of


@dataclass(frozen=True, slots=True)
class Trace:
    """What a run did, in the shapes of the HTTP API."""

    run_id: str
    graph_id: str
    status: str
    """`completed`, `failed`, `paused`, or `waiting` if nothing ends the run's wait. A child may also be `cancelled`."""
    state: JsonObject
    current_node: str | None
    step: int
    error: JsonObject | None
    waiting_for: JsonObject | None
    """What a waiting run waits for: `{"kind", "name"?, "due_at"?}`."""
    steps: list[JsonObject]
    """The committed steps, as `GET /runs/{run_id}/steps` returns them."""
    lines: list[JsonObject]
    """The lines of the log, as `GET /runs/{run_id}/logs` returns them."""
    parent: JsonObject | None
    children: tuple[Trace, ...]
    ended_at: str
    """The time at which the simulation ended, in simulated time."""

    @property
    def path(self) -> list[str]:
        """The nodes of the committed steps, in order."""
        return [step["node"] for step in self.steps]

    @property
    def attempts(self) -> list[tuple[str, int, str | None]]:
        """Each attempt of the committed steps: its node, its number, and its error's type (None: it succeeded)."""
        return [
            (step["node"], attempt["attempt"], attempt["error"] and attempt["error"]["type"])
            for step in self.steps
            for attempt in step["attempts"]
        ]

    @property
    def messages(self) -> list[str]:
        """The messages that tools have logged, in order."""
        return [line["message"] for line in self.lines if line["event"] == "log"]


def trace_of(member: Member, children: tuple[Trace, ...], now_us: int) -> Trace:
    run = member.run
    return Trace(
        run_id=run.id,
        graph_id=run.graph.id,
        status=str(run.status),
        state=run.state.to_object(),
        current_node=run.node,
        step=run.step,
        error=None if member.error is None else member.error._asdict(),
        waiting_for=_waiting_for(member),
        steps=member.steps,
        lines=member.lines,
        parent=None if member.place is None else {"run_id": run.parent_id, "step": member.place[0]},
        children=children,
        ended_at=text_of(now_us),
    )


def _waiting_for(member: Member) -> JsonObject | None:
    if member.wait is None:
        return None
    due_at = None if member.wait_due_us is None else text_of(member.wait_due_us)
    members: dict[str, Any] = {"kind": str(member.wait.kind), "name": member.wait.name, "due_at": due_at}
    return {name: value for name, value in members.items() if value is not None}
