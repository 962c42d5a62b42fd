"""Read filters of runs from query parameters and from the `where` of a body."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query
from pydantic import AfterValidator, Field

from service.api.filters.values import (
    ID_PREFIX_PATTERN,
    check_id_prefix,
    check_tag,
    check_time,
    checked_filter,
    make_filter,
)
from service.api.limits import FILTERS_MAX
from service.api.responses import requests
from service.api.responses.requests import PlainText
from service.api.services import Services
from service.core.errors import Invalid
from service.core.run import WaitKind
from service.core.transitions import Status
from service.store.queries.runs.filter import RunFilter


def _time_filter(description: str) -> Any:
    return Query(description=f"{description} this time (ISO 8601).", json_schema_extra={"format": "date-time"})


Tag = Annotated[str, AfterValidator(check_tag), Field(json_schema_extra={"pattern": "^[^\0]*:[^\0]*$"})]
_TAGS = (
    r"`key:value`: runs with this tag; repeatable, all must match. `!key:value` excludes runs. The first colon ends "
    r"the key. A colon in the key is written `\:`, an exclamation mark at its beginning `\!`, and a backslash before "
    r"one of these or another backslash `\\`."
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
    created_after: Annotated[str | None, AfterValidator(check_time), _time_filter("Created after")] = None,
    created_before: Annotated[str | None, AfterValidator(check_time), _time_filter("Created before")] = None,
    id_prefix: Annotated[
        str | None,
        AfterValidator(check_id_prefix),
        Query(
            description="The first characters of the id, at least 4.",
            json_schema_extra={"pattern": f"^{ID_PREFIX_PATTERN}$"},
        ),
    ] = None,
) -> RunFilter:
    """Return the filter that the query parameters describe. Raise NotFound if an id is malformed."""
    return make_filter(
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
    """Return the filter that the `where` of a body describes.

    Raise Invalid if a value is faulty or `where` has no filter, and NotFound if an id is malformed.
    """
    values = {name: value for name, value in dict(where).items() if value is not None}
    if not values:
        raise Invalid.at("/where", "must have at least one filter")
    return checked_filter(values, "/where")


async def check_ids(services: Services, which: RunFilter) -> None:
    """Raise NotFound if the filter has the id of a graph or run that does not exist.

    Callers need this only when no run matches the filter.
    """
    if which.graph_id is not None:
        await services.store.graphs.get(which.graph_id)
    for run_id in (which.parent_id, which.forked_from):
        if run_id is not None:
            await services.store.runs.get(run_id)
