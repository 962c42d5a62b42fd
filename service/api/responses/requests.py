"""Pydantic models that validate request bodies."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from service.api.limits import (
    FILTERS_MAX,
    LIMIT_MAX,
    SCHEDULE_EVERY_S_MIN,
    TAG_KEY_CHARS_MAX,
    TAG_VALUE_CHARS_MAX,
    TAGS_MAX,
)
from service.core import codec
from service.core.graph import SECONDS_MAX
from service.core.queueing.limits import PER_S_MIN, PRIORITY_MAX, PRIORITY_MIN
from service.core.run import WaitKind
from service.core.syntax.numbers import NUMBER_MAX
from service.core.transitions import Status

JsonObject = dict[str, Any]
T = TypeVar("T")


class StrictModel(BaseModel):
    """A model that refuses unknown fields."""

    model_config = ConfigDict(extra="forbid")


def _refuse_null(value: Any) -> Any:
    if value is None:
        raise ValueError("must not be null; omit it instead")
    return value


class _SchemaWithoutNull:
    """Describe a field in OpenAPI by the type that it has when it is present."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        described = handler(schema)
        kinds = [kind for kind in described.pop("anyOf") if kind != {"type": "null"}]
        return described | (kinds[0] if len(kinds) == 1 else {"anyOf": kinds})


Omittable = Annotated[T | None, BeforeValidator(_refuse_null), _SchemaWithoutNull()]
"""The type of a field that a client may omit but not send as null. An omitted field is None."""


def omittable(description: str) -> Any:
    """Describe an Omittable field. A factory makes its default, so that OpenAPI does not show null as the default."""
    return Field(default_factory=lambda: None, description=description)


def _status(value: Any) -> Status:
    # In strict mode, pydantic accepts only members of an Enum. So the value that the client sent is converted here.
    if value not in list(Status):
        raise ValueError(f"must be one of {' '.join(Status)}")
    return Status(value)


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _one_or_many(schema: JsonSchemaValue) -> JsonSchemaValue:
    return {"anyOf": [schema, {"type": "array", "items": schema, "minItems": 1, "maxItems": FILTERS_MAX}]}


StatusList = Annotated[
    list[Annotated[Status, BeforeValidator(_status)]],
    Field(min_length=1, max_length=FILTERS_MAX),
    BeforeValidator(_listed),
    WithJsonSchema(_one_or_many({"enum": [status.value for status in Status]})),
]
TagList = Annotated[
    list[str],
    Field(min_length=1, max_length=FILTERS_MAX),
    BeforeValidator(_listed),
    WithJsonSchema(_one_or_many({"type": "string", "pattern": "^[^\0]*:[^\0]*$"})),
]


def _check_text(text: str) -> str:
    codec.check(text)
    return text


PlainText = Annotated[str, AfterValidator(_check_text), Field(json_schema_extra={"pattern": "^[^\0]*$"})]
"""Text without NUL and lone surrogates, which the database cannot store."""


class EmptyRequest(StrictModel):
    """The body of a call that takes no parameters. It is an empty object, and may be absent."""


class SessionRequest(StrictModel):
    token: str = Field(description="The server's RUNGRAPH_API_TOKEN.")


class ResumeRequest(StrictModel):
    patch: Omittable[JsonObject] = omittable("A JSON Merge Patch (RFC 7396) of the state, committed as a step.")
    max_steps: Omittable[Annotated[int, Field(ge=1, le=NUMBER_MAX)]] = omittable("Replaces the run's limit of steps.")


class ForkRequest(StrictModel):
    step: Omittable[Annotated[int, Field(ge=0, le=NUMBER_MAX)]] = omittable(
        "The new run begins with the state after this step; the last step if omitted."
    )
    patch: Omittable[JsonObject] = omittable("A JSON Merge Patch (RFC 7396) of that state.")
    graph_id: Omittable[str] = omittable("The graph of the new run; the old run's if omitted.")
    node: Omittable[str] = omittable("The node at which the new run begins; the one after the step if omitted.")


class BacktestedRuns(StrictModel):
    graph_id: Omittable[str] = omittable("Runs of this graph. Required unless there are `run_ids`.")
    run_ids: Omittable[Annotated[list[str], Field(min_length=1, max_length=LIMIT_MAX)]] = omittable("These runs.")
    status: Omittable[Annotated[Status, BeforeValidator(_status)]] = omittable("Only runs of this status.")
    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX)] = Field(100, description="The most runs, the newest first.")


class BacktestRequest(StrictModel):
    runs: BacktestedRuns


Tags = Annotated[
    dict[
        Annotated[str, Field(max_length=TAG_KEY_CHARS_MAX)],
        Annotated[str, Field(max_length=TAG_VALUE_CHARS_MAX)],
    ],
    Field(max_length=TAGS_MAX),
]


class Notify(StrictModel):
    """A webhook that is called when the run takes a status in `on`.

    The host of `url` must be in the server's RUNGRAPH_WEBHOOK_HOSTS.
    """

    url: str
    on: Annotated[list[Literal["completed", "failed", "paused", "cancelled", "waiting"]], Field(min_length=1)] = Field(
        ["completed", "failed", "paused", "cancelled", "waiting"], description="All of these if omitted."
    )


class RunRequest(StrictModel):
    graph_id: Omittable[str] = omittable("The id of the graph. Required unless there is a `graph`.")
    graph: Omittable[Annotated[str, Field(min_length=1)]] = omittable(
        "The name of the graph, in place of `graph_id`: the latest that was posted with this name."
    )
    initial_state: JsonObject = {}
    tags: Tags = Field({}, description="Shown and filtered by, and otherwise without meaning.")
    priority: Annotated[int, Field(ge=PRIORITY_MIN, le=PRIORITY_MAX)] = Field(
        0, description="Runs with a higher priority are claimed first, and get a slot of a limit first."
    )
    notify: Omittable[Notify] = omittable("A webhook.")


def _check_number(value: Any) -> Any:
    # Without this check, pydantic would report a fault for each type of the union, and the pointers of these faults
    # would not exist in the document.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("should be a number")
    return value


class LimitRequest(StrictModel):
    max: Annotated[int, Field(ge=1, le=NUMBER_MAX)] = Field(
        description="The most attempts at once, over all servers; with `per_s`, the most that begin within that period."
    )
    per_s: Omittable[Annotated[int | float, Field(ge=PER_S_MIN, le=SECONDS_MAX), BeforeValidator(_check_number)]] = (
        omittable("A period in seconds. In any such period at most `max` attempts begin.")
    )


class ScheduleRequest(StrictModel):
    """A schedule has either `graph_id` or `graph`, and either `cron` or `every_s`."""

    graph_id: Omittable[str] = omittable("The graph of its runs.")
    graph: Omittable[Annotated[str, Field(min_length=1)]] = omittable(
        "The name of the graph: at each tick the latest graph that has it."
    )
    cron: Omittable[str] = omittable("Five fields: minute, hour, day of the month, month, day of the week.")
    every_s: Omittable[
        Annotated[int | float, Field(ge=SCHEDULE_EVERY_S_MIN, le=SECONDS_MAX), BeforeValidator(_check_number)]
    ] = omittable("Seconds from one tick to the next.")
    timezone: str = Field("UTC", description="The time zone of `cron`, by its IANA name.")
    initial_state: JsonObject = {}
    tags: Tags = Field({}, description="The tags of its runs.")
    overlap: Literal["skip", "start"] = Field("skip", description="What a tick does while a run is unfinished.")
    catch_up: Literal["one", "all", "none"] = Field("one", description="Which of the missed ticks start a run.")


class DemoRequest(StrictModel):
    """The table comes from `dataset` or from `rows`, not from both. By default it is a bundled data set."""

    dataset: str = Field("planes", description="The name of a bundled data set.")
    # FailFast, because reporting a fault for each of a million rows would take seconds.
    rows: Annotated[list[JsonObject], Field(min_length=1), FailFast()] = Field(
        [], description="A table with one object per row."
    )
    threshold: Annotated[int | float, Field(ge=0), BeforeValidator(_check_number)] = Field(
        0, description="The run ends at this number of anomalies or fewer."
    )
    mode: Literal["report", "mend"] = Field("mend", description="`report` changes nothing.")
    allow: list[Literal["fill", "outliers", "duplicates", "text_in_numbers"]] = Field(
        [], description="Changes that are allowed without evidence in the table."
    )
    keep: list[str] = Field([], description="Columns that are never changed.")


# `filters.values` checks the values of these types. Their schemas are only for OpenAPI.
WaitName = Annotated[str, Field(json_schema_extra={"enum": [kind.value for kind in WaitKind]})]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
IdPrefix = Annotated[str, Field(json_schema_extra={"pattern": "^[0-9a-f-]{4,36}$"})]


EndStatus = Literal["completed", "failed", "cancelled"]
EndStatusList = Annotated[
    list[EndStatus],
    Field(min_length=1, max_length=FILTERS_MAX),
    BeforeValidator(_listed),
    WithJsonSchema(_one_or_many({"enum": ["completed", "failed", "cancelled"]})),
]


class RunsWhere(StrictModel):
    """Filters as in `GET /runs`. A field that takes a list also takes a single value."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1})

    status: Omittable[StatusList] = omittable("Any of these.")
    graph_id: Omittable[str] = omittable("The id of the graph.")
    graph: Omittable[PlainText] = omittable("The name of the graph, in any version.")
    tag: Omittable[TagList] = omittable("All of these; `!k:v` excludes a tag.")
    parent_id: Omittable[str] = omittable("The id of the parent run, or `none`.")
    forked_from: Omittable[str] = omittable("The id of the run that was forked.")
    waiting_for: Omittable[WaitName] = omittable("What the runs wait for: sleep, signal, children, backoff or limit.")
    created_after: Omittable[Time] = omittable("A time in ISO 8601.")
    created_before: Omittable[Time] = omittable("A time in ISO 8601.")
    id_prefix: Omittable[IdPrefix] = omittable("The first characters of the id, at least 4.")


class RunActionRequest(StrictModel):
    action: Literal["cancel", "pause", "resume"]
    where: RunsWhere = Field(description="Which runs. At least one filter is required.")
    dry_run: bool = Field(False, description="Only count the runs.")
    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX)] = Field(1000, description="The most runs, oldest first.")


class PruneRequest(StrictModel):
    older_than_s: Annotated[float, Field(ge=0, le=SECONDS_MAX)] = Field(description="Seconds since a run's end.")
    status: Omittable[EndStatusList] = omittable("Any of these; all if left out.")
    graph: Omittable[PlainText] = omittable("Runs of graphs of this name.")
    keep_last: Annotated[int, Field(ge=0, le=LIMIT_MAX)] = Field(0, description="The newest runs of each graph stay.")
    dry_run: bool = Field(False, description="Only count the runs.")
    cursor: Omittable[PlainText] = omittable("`next_cursor` of the last answer.")
