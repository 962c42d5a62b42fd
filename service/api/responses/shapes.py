"""The shapes of bodies: requests, which are validated with them, and answers, which they only describe."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from service.api.parameters import LIMIT_MAX, NUMBER_MAX
from service.core.routing.conditions import Reason
from service.core.run import Event, Level
from service.core.transitions import Status

JsonObject = dict[str, Any]
T = TypeVar("T")


class Shape(BaseModel):
    # Deferred: most shapes only describe answers, and a server that nobody asks for its OpenAPI document builds none.
    model_config = ConfigDict(extra="forbid", defer_build=True)


# Requests


def _given(value: Any) -> Any:
    if value is None:
        raise ValueError("not null; it may be left out")
    return value


class _LeftOut:
    """To the reader of the document a field's type is what it is where it is given."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        described = handler(schema)
        kinds = [kind for kind in described.pop("anyOf") if kind != {"type": "null"}]
        return described | (kinds[0] if len(kinds) == 1 else {"anyOf": kinds})


Omittable = Annotated[T | None, BeforeValidator(_given), _LeftOut()]
"""What may be left out, and is None then; null is no value of it."""


def left_out(description: str) -> Any:
    """The default of an Omittable: a factory, or the document would say that it is null."""
    return Field(default_factory=lambda: None, description=description)


def _status(value: Any) -> Status:
    # By hand: to a strict model a name is no member of an Enum.
    if value not in list(Status):
        raise ValueError(f"one of {' '.join(Status)}")
    return Status(value)


class EmptyRequest(Shape):
    """Of a call that says all by its path: no body, or an empty object."""


class ResumeRequest(Shape):
    patch: Omittable[JsonObject] = left_out("A JSON Merge Patch (RFC 7396) of the state, a step of its own.")
    max_steps: Omittable[Annotated[int, Field(ge=1, le=NUMBER_MAX)]] = left_out("In place of the run's limit.")


class ForkRequest(Shape):
    step: Omittable[Annotated[int, Field(ge=0, le=NUMBER_MAX)]] = left_out(
        "The step after whose state the new run begins; the last if left out."
    )
    patch: Omittable[JsonObject] = left_out("A JSON Merge Patch (RFC 7396) of that state.")
    graph_id: Omittable[str] = left_out("The graph of the new run; the old run's if left out.")
    node: Omittable[str] = left_out("Where the new run begins; where the step went if left out.")


class RunsAsked(Shape):
    graph_id: str
    status: Omittable[Annotated[Status, BeforeValidator(_status)]] = left_out("Only runs of this status.")
    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX)] = Field(100, description="The most runs, the newest first.")


class BacktestRequest(Shape):
    runs: RunsAsked


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
    mode: Literal["report", "mend"] = Field("mend", description="`report` changes nothing.")
    allow: list[Literal["fill", "outliers", "duplicates", "text_in_numbers"]] = Field(
        [], description="What may be done beyond what evidence supports."
    )
    keep: list[str] = Field([], description="Columns that are never touched.")


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


class RunStatus(Shape):
    run_id: str
    status: Status


class SignalSent(Shape):
    run_id: str
    name: str


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
    node: str | None = Field(description="null: a patch.")
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


class ForSignal(Shape):
    kind: Literal["signal"]
    name: str


class ForChildren(Shape):
    kind: Literal["children"]
    open: int = Field(description="How many of them are not over.")


class ForTime(Shape):
    kind: Literal["sleep", "backoff"]


class LastDecision(Decision):
    step: int
    node: str | None


class Why(Shape):
    status: Status
    because: str = Field(description="One sentence for a person.")
    waiting_for: Omittable[ForSignal | ForChildren | ForTime] = left_out("Where the run waits.")
    due_at: Omittable[str] = left_out("When it goes on at the latest, where it waits for no longer than that.")
    last_decision: LastDecision | None
    attempts: list[Attempt] = Field(description="The failed attempts of the step that comes next, or came last.")


class Divergence(Shape):
    run_id: str
    step: int
    node: str
    went: str | None
    would_go: str | None
    because: str


class Backtest(Shape):
    runs: int = Field(description="How many were looked at.")
    steps: int = Field(description="At how many of their steps this graph was asked.")
    diverging_runs: int
    examples: list[Divergence] = Field(description="The first hundred steps that would have gone elsewhere.")


class Tool(Shape):
    name: str
    description: str
    parameters: list[Literal["state", "metadata", "context"]]


class ToolList(Shape):
    items: list[Tool]


class Health(Shape):
    status: Literal["ok"]
