"""Pydantic models that describe answers in the OpenAPI document. They do not validate the answers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field, RootModel

from service.api.responses.requests import JsonObject, Omittable, StrictModel, omittable
from service.core.routing.conditions import Reason
from service.core.run import Event, Level
from service.core.transitions import Status


class Fault(StrictModel):
    pointer: str = Field(description="A JSON Pointer into the body as it was sent, or `/` and a parameter's name.")
    message: str


class Problem(StrictModel):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Fault] = Field([])


class GraphCreated(StrictModel):
    graph_id: str
    warnings: list[Fault]


class GraphItem(StrictModel):
    graph_id: str
    name: str
    created_at: str


class Graph(GraphItem):
    definition: JsonObject


class JsonSchema(RootModel[JsonObject]):
    """A JSON Schema (draft 2020-12)."""


class GraphPage(StrictModel):
    items: list[GraphItem]
    next_cursor: str | None


class RunStarted(StrictModel):
    run_id: str


class RunStatus(StrictModel):
    run_id: str
    status: Status


class SignalSent(StrictModel):
    run_id: str
    name: str


class Line(StrictModel):
    seq: int
    ts: str
    level: Level
    event: Event
    node: str | None
    step: int | None
    attempt: int | None
    message: str
    data: JsonObject


class LinePage(StrictModel):
    items: list[Line]
    last_seq: int


class RunError(StrictModel):
    type: str
    message: str
    node: str
    step: int
    attempt: int


class RunPlace(StrictModel):
    run_id: str
    step: int


class ScheduleOfRun(StrictModel):
    name: str
    tick: str | None = Field(description="The tick that started the run; null if somebody has triggered it.")


class Run(StrictModel):
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
    schedule: Omittable[ScheduleOfRun] = omittable("The schedule that started the run.")
    logs: list[Line]


class WaitOfRun(StrictModel):
    kind: Literal["sleep", "signal", "children", "backoff", "limit"]
    name: Omittable[str] = omittable("The name of the signal or of the limit.")
    due_at: Omittable[str] = omittable("When the wait ends at the latest.")


class ListedRun(Run):
    schedule: ScheduleOfRun | None = Field(description="The schedule that started the run.")
    priority: int
    graph_name: str
    waiting_for: WaitOfRun | None = Field(description="What the run waits for, or waited for when it was paused.")
    duration_ms: int | None = Field(description="From its start until its end or now; null if it has not started.")
    children: int = Field(description="The number of its child runs, of which at most 1,000 are counted.")


class RunPage(StrictModel):
    items: list[ListedRun]
    next_cursor: str | None


class RunLinks(StrictModel):
    """Paths of further calls about the run. Each path begins with the URL prefix of the application."""

    self: str
    graph: str
    state: str
    steps: str
    path: str
    keys: str
    logs: str
    events: str
    files: str
    signals: str
    why: str
    page: str


class OneRun(Run):
    state: JsonObject
    schedule: ScheduleOfRun | None = Field(description="The schedule that started the run.")
    priority: int
    graph_name: str
    waiting_for: WaitOfRun | None
    links: RunLinks


class RunCounts(StrictModel):
    counts: dict[Status, int]
    capped_at: int = Field(description="No count exceeds this number.")


class RefusedRun(StrictModel):
    run_id: str
    reason: str


class RunActionResult(StrictModel):
    matched: int = Field(description="The number of runs that match, up to the limit.")
    done: int = Field(description="The number of runs that the action was applied to.")
    refused: list[RefusedRun] = Field(description="The runs whose status does not allow the action.")
    more: bool = Field(description="Whether more runs match than the limit allows.")


class PruneResult(StrictModel):
    matched: int = Field(description="The number of runs of this page that the rule selects.")
    done: int = Field(description="The number of runs that were deleted.")
    next_cursor: str | None


class AttemptError(StrictModel):
    type: str
    message: str


class Attempt(StrictModel):
    attempt: int
    error: AttemptError | None
    started_at: str
    finished_at: str


class Changes(StrictModel):
    set: JsonObject
    unset: list[str]


class EvaluatedEdge(StrictModel):
    to: str | None
    condition: JsonObject | None
    result: bool
    operands: JsonObject
    note: str = ""


class Decision(StrictModel):
    to: str | None
    reason: Reason
    evaluated: list[EvaluatedEdge]


class Step(StrictModel):
    step: int
    node: str | None = Field(description="The node that was run; null for a patch.")
    attempt: int
    attempts: list[Attempt]
    changes: Changes
    decision: Decision
    started_at: str
    finished_at: str
    duration_ms: float


class StepPage(StrictModel):
    items: list[Step]
    next_cursor: int | None


class NodeOnPath(StrictModel):
    visits: int = Field(description="Committed steps at the node.")
    failures: int = Field(description="Failed attempts at the node.")
    total_ms: float = Field(description="The duration of the committed attempts together.")
    last_step: int | None


class EdgeOnPath(StrictModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    from_: str = Field(alias="from")
    index: int | None = Field(description="The index among all edges of the node; null if no edge was taken.")
    to: str | None
    count: int


class Path(StrictModel):
    nodes: dict[str, NodeOnPath]
    edges: list[EdgeOnPath]
    partial: bool = Field(description="Whether only the newest steps are counted.")


class WrittenKey(StrictModel):
    key: str
    step: int = Field(description="The step that last wrote the key; 0 for the initial state.")
    node: str | None
    bytes: int = Field(description="The size of the value as JSON text.")


class KeyList(StrictModel):
    items: list[WrittenKey]


class KeyValue(StrictModel):
    step: int
    node: str | None
    value: Any
    removed: bool


class KeyValuePage(StrictModel):
    items: list[KeyValue]
    next_cursor: int | None = Field(description="The next `before_step`.")


class FileItem(StrictModel):
    name: str
    bytes: int
    modified_at: str


class FileList(StrictModel):
    items: list[FileItem]


class SignalItem(StrictModel):
    name: str
    accepted_at: str
    step: int | None = Field(description="The step that took the signal; null while it waits.")
    bytes: int = Field(description="The size of the payload as JSON text.")


class SignalList(StrictModel):
    items: list[SignalItem]


class StateAt(StrictModel):
    step: int
    state: JsonObject


class NamedWait(StrictModel):
    kind: Literal["signal", "limit"]
    name: str


class ChildrenWait(StrictModel):
    kind: Literal["children"]
    open: int = Field(description="The number of unfinished children.")


class TimedWait(StrictModel):
    kind: Literal["sleep", "backoff"]


class LastDecision(Decision):
    step: int
    node: str | None


class ClusterWorker(StrictModel):
    name: str
    address: str
    dashboard: Omittable[str] = omittable("The address of the cluster's dashboard, if it has one.")


class Why(StrictModel):
    status: Status
    because: str = Field(description="One sentence for people.")
    waiting_for: Omittable[NamedWait | ChildrenWait | TimedWait] = omittable("What the run waits for, if it waits.")
    due_at: Omittable[str] = omittable("When the wait ends at the latest, if it has such a time.")
    worker: Omittable[ClusterWorker] = omittable("The worker of the cluster that calls the tool, if one does.")
    last_decision: LastDecision | None
    attempts: list[Attempt] = Field(
        description="The failed attempts of the next step; of a finished run, those of the last one."
    )


class Divergence(StrictModel):
    run_id: str
    step: int
    node: str
    went: str | None
    would_go: str | None
    because: str


class Backtest(StrictModel):
    runs: int = Field(description="The number of runs that were compared.")
    steps: int = Field(description="The number of their steps at which this graph's edges were evaluated.")
    diverging_runs: int
    examples: list[Divergence] = Field(description="The first hundred steps that would have gone to another node.")


class Tool(StrictModel):
    name: str
    description: str
    parameters: list[Literal["state", "metadata", "context"]]
    pure: bool = Field(description="Whether its author declares that another call of it does no harm.")
    limit: Omittable[str] = omittable("The limit of its attempts, unless a node names another.")
    state_schema: Omittable[JsonObject] = omittable("The JSON Schema of the state, if the tool declares its type.")


class ToolList(StrictModel):
    items: list[Tool]


class LimitItem(StrictModel):
    name: str
    max: int
    per_s: float | None = Field(description="The period in seconds; null if `max` counts attempts at once.")
    in_use: int = Field(description="Attempts that go on; with a period, attempts that began within it.")
    waiting: int = Field(description="Runs that wait for a slot.")
    created_at: str
    changed_at: str


class LimitPage(StrictModel):
    items: list[LimitItem]
    next_cursor: str | None


class Health(StrictModel):
    status: Literal["ok"]
    note: str | None = None
    """A sentence about an async tool that blocks other async tools, and so delays runs; omitted if no tool does."""
