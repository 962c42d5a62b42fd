"""A short way to write the filters that most tests need."""

from __future__ import annotations

from typing import Any

from service.store.queries.runs.filter import RunFilter, matching


def filter_of(status: str | None = None, graph_id: str | None = None, tag: str | None = None) -> RunFilter:
    """Return a filter with at most one value of each kind."""
    return RunFilter(() if status is None else (status,), graph_id, tags=() if tag is None else (tag,))


def query_of(which: RunFilter, after: Any, limit: int, dialect: str) -> Any:
    """Return the query that selects the runs of a page."""
    graph_ids = None if which.graph_id is None else (which.graph_id,)
    return matching(which, dialect, limit, graph_ids=graph_ids, after=after)
