"""Read filters of runs from query parameters and from the `where` of a body."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, Query
from pydantic import AfterValidator, Field

from service.api.limits import FILTERS_MAX, ID_PREFIX_CHARS_MIN
from service.api.parameters import PlainText, parse_graph_id, parse_run_id
from service.api.responses import requests
from service.api.services import Services
from service.core import codec
from service.core.errors import Fault, Invalid
from service.core.run import WaitKind
from service.core.syntax.tags import tag_of
from service.core.transitions import Status
from service.store.queries.runs.filter import RunFilter

NO_PARENT = "none"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Times beyond these are taken as these: an offset may move a time out of the years that Python and the database have.
_TIME_US_MIN = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_TIME_US_MAX = (datetime(9999, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_PREFIX = re.compile(f"[0-9a-f-]{{{ID_PREFIX_CHARS_MIN},36}}")


def _tag(text: str) -> str:
    if tag_of(text.removeprefix("!")) is None:
        raise ValueError(r"must be key:value, or !key:value to exclude; a colon within the key is written \:")
    codec.check(text)
    return text


def _time_us(text: str) -> int:
    """Return a time in ISO 8601, in UTC if it has no offset, as microseconds since 1970."""
    try:
        time = datetime.fromisoformat(text)
        time = time if time.tzinfo else time.replace(tzinfo=UTC)
        return max(_TIME_US_MIN, min((time - _EPOCH) // timedelta(microseconds=1), _TIME_US_MAX))
    except (ValueError, OverflowError) as error:
        raise ValueError("must be a time in ISO 8601, such as 2030-01-31T09:30:00Z") from error


def _check_time(text: str) -> str:
    _time_us(text)
    return text


def _id_prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise ValueError(f"must be the first characters of an id, at least {ID_PREFIX_CHARS_MIN}: digits, a to f and -")
    return text


def _wait_kind(text: str) -> str:
    if text not in list(WaitKind):
        raise ValueError(f"must be one of {' '.join(WaitKind)}")
    return text


def _time_filter(description: str) -> Any:
    return Query(description=f"{description} this time (ISO 8601).", json_schema_extra={"format": "date-time"})


Tag = Annotated[str, AfterValidator(_tag), Field(json_schema_extra={"pattern": "^[^\0]*:[^\0]*$"})]
_CHECKS: dict[str, Callable[[Any], Any]] = {
    "tag": lambda tags: list(map(_tag, tags)),
    "graph": codec.check,
    "waiting_for": _wait_kind,
    "created_after": _check_time,
    "created_before": _check_time,
    "id_prefix": _id_prefix,
}


_TAGS = (
    r"`key:value`: runs with this tag; repeatable, all must match. `!key:value` excludes runs. The first colon ends "
    r"the key. A colon in the key is written `\:`, and a backslash before a colon or another backslash is written `\\`."
)


async def filter_of_query(
    status: Annotated[
        list[Status], Query(description="Any of these statuses; repeatable.", max_length=FILTERS_MAX)
    ] = [],  # noqa: B006  # FastAPI copies defaults.
    graph_id: Annotated[str | None, Query(description="Runs of this graph.")] = None,
    graph: Annotated[PlainText | None, Query(description="Runs of the graphs of this name, in any version.")] = None,
    tag: Annotated[list[Tag], Query(description=_TAGS, max_length=FILTERS_MAX)] = [],  # noqa: B006
    parent_id: Annotated[str | None, Query(description="Children of this run; `none`: runs without a parent.")] = None,
    forked_from: Annotated[str | None, Query(description="Forks of this run.")] = None,
    waiting_for: Annotated[WaitKind | None, Query(description="Runs that wait for this.")] = None,
    created_after: Annotated[str | None, AfterValidator(_check_time), _time_filter("Created after")] = None,
    created_before: Annotated[str | None, AfterValidator(_check_time), _time_filter("Created before")] = None,
    id_prefix: Annotated[
        str | None,
        AfterValidator(_id_prefix),
        Query(
            description="The first characters of the id, at least 4.",
            json_schema_extra={"pattern": f"^{_PREFIX.pattern}$"},
        ),
    ] = None,
) -> RunFilter:
    """Read the filter from the query."""
    return _filter(
        status=status,
        graph_id=graph_id,
        graph=graph,
        tag=tag,
        parent_id=parent_id,
        forked_from=forked_from,
        waiting_for=waiting_for,
        created_after=created_after,
        created_before=created_before,
        id_prefix=id_prefix,
    )


FilterDep = Annotated[RunFilter, Depends(filter_of_query)]


def filter_of_where(where: requests.RunsWhere) -> RunFilter:
    """Read the filter from the `where` of a body. Raise Invalid for faulty values and for an empty one."""
    values = {name: value for name, value in dict(where).items() if value is not None}
    if not values:
        raise Invalid.at("/where", "must have at least one filter")
    faults = []
    for name, check in _CHECKS.items():
        if name in values:
            try:
                check(values[name])
            except ValueError as error:
                faults.append(Fault(f"/where/{name}", str(error)))
    if faults:
        raise Invalid(faults)
    return _filter(**values)


def _filter(
    *,
    status: Any = (),
    graph_id: str | None = None,
    graph: str | None = None,
    tag: Any = (),
    parent_id: str | None = None,
    forked_from: str | None = None,
    waiting_for: str | None = None,
    created_after: str | None = None,
    created_before: str | None = None,
    id_prefix: str | None = None,
) -> RunFilter:
    """Make a filter of checked values. Raise NotFound for malformed ids."""
    is_root = parent_id == NO_PARENT
    return RunFilter(
        statuses=tuple(dict.fromkeys(map(str, status))),
        graph_id=None if graph_id is None else parse_graph_id(graph_id),
        graph_name=graph,
        tags=tuple(text for text in tag if not text.startswith("!")),
        without_tags=tuple(text[1:] for text in tag if text.startswith("!")),
        parent_id=None if parent_id is None or is_root else parse_run_id(parent_id),
        is_child=False if is_root else None,
        forked_from=None if forked_from is None else parse_run_id(forked_from),
        waiting_for=None if waiting_for is None else WaitKind(waiting_for),
        created_after_us=None if created_after is None else _time_us(created_after),
        created_before_us=None if created_before is None else _time_us(created_before),
        id_prefix=id_prefix,
    )


async def check_ids(services: Services, which: RunFilter) -> None:
    """Raise NotFound if the filter names a graph or a run that does not exist. Called if nothing matches."""
    if which.graph_id is not None:
        await services.store.graphs.get(which.graph_id)
    for run_id in (which.parent_id, which.forked_from):
        if run_id is not None:
            await services.store.runs.get(run_id)
