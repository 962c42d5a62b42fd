"""The shapes of bodies: requests, which are validated with them, and answers, which they only describe."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field

from service.core.conditions import Reason
from service.core.run import Event, Level
from service.core.transitions import Status

JsonObject = dict[str, Any]


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


# Requests


class RunRequest(Shape):
    graph_id: str
    initial_state: JsonObject = {}
    tags: dict[str, str] = {}


class DemoRequest(Shape):
    """`dataset` or `rows`, not both; neither: the bundled data set."""

    dataset: str = Field("planes", description="The name of a bundled data set.")
    # FailFast: a fault for each of a million rows would take seconds to tell.
    rows: Annotated[list[JsonObject], Field(min_length=1), FailFast()] = Field(
        [], description="A table, an object for each row."
    )
    threshold: Annotated[int | float, Field(ge=0)] = Field(0, description="The run ends at so many anomalies or fewer.")


# Answers


class Fault(Shape):
    pointer: str = Field(description="JSON Pointer into the body as it was sent, or `/` and a parameter's name.")
    message: str


class Problem(Shape):
    """A refusal, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Fault] = []


class GraphCreated(Shape):
    graph_id: str
    warnings: list[Fault]


class GraphItem(Shape):
    graph_id: str
    name: str
    created_at: str


class Graph(GraphItem):
    definition: JsonObject


class GraphPage(Shape):
    items: list[GraphItem]
    next_cursor: str | None


class RunStarted(Shape):
    run_id: str


class Line(Shape):
    seq: int
    ts: str
    level: Level
    event: Event
    node: str | None
    step: int | None
    attempt: int | None
    message: str
    data: JsonObject


class LinePage(Shape):
    items: list[Line]
    last_seq: int


class RunError(Shape):
    type: str
    message: str
    node: str
    step: int
    attempt: int


class RunPlace(Shape):
    run_id: str
    step: int


class Run(Shape):
    run_id: str
    graph_id: str
    status: Status
    current_node: str | None
    step: int
    error: RunError | None
    tags: dict[str, str]
    forked_from: RunPlace | None
    parent: RunPlace | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    last_seq: int


class RunWithState(Run):
    state: JsonObject
    logs: list[Line]


class RunPage(Shape):
    items: list[Run]
    next_cursor: str | None


class AttemptError(Shape):
    type: str
    message: str


class Attempt(Shape):
    attempt: int
    error: AttemptError | None
    started_at: str
    finished_at: str


class Changes(Shape):
    set: JsonObject
    unset: list[str]


class EdgeAsked(Shape):
    to: str | None
    condition: JsonObject | None
    result: bool
    operands: JsonObject
    note: str = ""


class Decision(Shape):
    to: str | None
    reason: Reason
    evaluated: list[EdgeAsked]


class Step(Shape):
    step: int
    node: str
    attempt: int
    attempts: list[Attempt]
    changes: Changes
    decision: Decision
    started_at: str
    finished_at: str
    duration_ms: float


class StepPage(Shape):
    items: list[Step]
    next_cursor: int | None


class StateAt(Shape):
    step: int
    state: JsonObject


class Tool(Shape):
    name: str
    description: str
    parameters: list[Literal["state", "metadata", "context"]]


class ToolList(Shape):
    items: list[Tool]


class Health(Shape):
    status: Literal["ok"]
