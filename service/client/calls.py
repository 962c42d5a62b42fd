"""Build the calls of the API. A call that is repeatable is made again if it fails; see retrying.py."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

from service.client.messages import JSON_TYPE, Request, json_body
from service.core.syntax.ids import is_graph_id
from service.core.syntax.numbers import NUMBER_MAX

PAGE_MAX = 1000

IDEMPOTENCY_KEY = "idempotency-key"


def get(path: str, **params: Any) -> Request:
    """Return a call that reads. Parameters that are None are omitted."""
    return Request("GET", path, _given(params), is_repeatable=True)


def post(path: str, body: Any = None, *, key: str | None = None, is_repeatable: bool = False) -> Request:
    """Return a call with a JSON body. The call is also repeatable if it has an idempotency key.

    A body of bytes is sent as it is. None stands for an empty object.
    """
    content = body if isinstance(body, bytes) else json_body({} if body is None else body)
    keyed = {} if key is None else {IDEMPOTENCY_KEY: key}
    return Request(
        "POST", path, content=content, headers={**JSON_TYPE, **keyed}, is_repeatable=is_repeatable or key is not None
    )


def _put(path: str, body: Mapping[str, Any]) -> Request:
    return Request("PUT", path, content=json_body(dict(body)), headers=JSON_TYPE, is_repeatable=True)


def new_key() -> str:
    """Return a unique idempotency key."""
    return str(uuid.uuid4())


def create(graph: Mapping[str, Any] | bytes) -> Request:
    # Repeatable, because the same definition has the same id.
    return post("/graph/create", graph if isinstance(graph, bytes) else dict(graph), is_repeatable=True)


def start(
    graph: str, state: Mapping[str, Any], tags: Mapping[str, str], key: str | None, more: Mapping[str, Any]
) -> Request:
    """Return the call that starts a run. `graph` is a graph's id, or a name, which stands for its latest graph.

    If `key` is None, the call gets a new idempotency key.
    """
    which = "graph_id" if is_graph_id(graph) else "graph"
    body = {which: graph, "initial_state": dict(state), "tags": dict(tags), **more}
    return post("/graph/run", _given(body), key=key or new_key())


def start_example(params: Mapping[str, Any], csv: AsyncIterator[bytes] | None) -> Request:
    content: dict[str, Any] = {} if csv is None else {"content": csv, "headers": {"content-type": "text/csv"}}
    return Request("POST", "/demo/run_data_quality", params, **content)


def graph(graph_id: str) -> Request:
    return get(f"/graph/{_part(graph_id)}")


def graphs(cursor: str | None = None, limit: int = PAGE_MAX) -> Request:
    return get("/graphs", limit=limit, cursor=cursor)


def mermaid(graph_id: str) -> Request:
    return get(f"/graph/{_part(graph_id)}/mermaid")


def tail(run_id: str, after_seq: int = 0, limit: int = 1) -> Request:
    """Return the call for a run with its state and at most `limit` lines of its log after `after_seq`."""
    return get(f"/graph/state/{_part(run_id)}", after_seq=after_seq, limit=limit)


def run(run_id: str) -> Request:
    """Return the call for a run with its state and without its log."""
    return get(f"/runs/{_part(run_id)}")


def summary(run_id: str) -> Request:
    """Return the call for a run without its state and log. The answer is a page with at most one run.

    If no run has the id, the page may have a run whose id begins with `run_id`.
    """
    return get("/runs", id_prefix=run_id, limit=1)


def runs(filters: Mapping[str, Any], limit: int, cursor: str | None) -> Request:
    return get("/runs", **{**filters, "limit": limit, "cursor": cursor})


def state(run_id: str, step: int | None) -> Request:
    return get(f"/runs/{_part(run_id)}/state", step=step)


def steps(run_id: str, after_step: int, limit: int = PAGE_MAX, node: str | None = None) -> Request:
    return get(f"/runs/{_part(run_id)}/steps", after_step=after_step, limit=limit, node=node)


def logs(run_id: str, after_seq: int = 0, limit: int = PAGE_MAX, **filters: Any) -> Request:
    return get(f"/runs/{_part(run_id)}/logs", after_seq=after_seq, limit=limit, **filters)


def newest_lines(run_id: str, limit: int) -> Request:
    return get(f"/runs/{_part(run_id)}/logs", before_seq=NUMBER_MAX, limit=limit)


def events(run_id: str, after_seq: int) -> Request:
    return get(f"/runs/{_part(run_id)}/events", after_seq=after_seq)


def path(run_id: str) -> Request:
    return get(f"/runs/{_part(run_id)}/path")


def keys(run_id: str) -> Request:
    return get(f"/runs/{_part(run_id)}/keys")


def files(run_id: str) -> Request:
    return get(f"/runs/{_part(run_id)}/files")


def file(run_id: str, name: str) -> Request:
    return get(f"/runs/{_part(run_id)}/files/{_part(name)}")


def why(run_id: str) -> Request:
    return get(f"/runs/{_part(run_id)}/why")


def signal(run_id: str, name: str, payload: Any, key: str | None = None) -> Request:
    content = payload if isinstance(payload, bytes) else json_body(payload)
    return post(f"/runs/{_part(run_id)}/signals/{_part(name)}", content, key=key or new_key())


def cancel(run_id: str) -> Request:
    return post(f"/runs/{_part(run_id)}/cancel", is_repeatable=True)


def pause(run_id: str) -> Request:
    return post(f"/runs/{_part(run_id)}/pause", is_repeatable=True)


def resume(run_id: str, patch: Mapping[str, Any] | None, max_steps: int | None) -> Request:
    return post(f"/runs/{_part(run_id)}/resume", _given({"patch": patch, "max_steps": max_steps}))


def fork(
    run_id: str, step: int | None, patch: Mapping[str, Any] | None, graph_id: str | None, node: str | None
) -> Request:
    body = {"step": step, "patch": patch, "graph_id": graph_id, "node": node}
    return post(f"/runs/{_part(run_id)}/fork", _given(body))


def delete(run_id: str) -> Request:
    return Request("DELETE", f"/runs/{_part(run_id)}")


def backtest(graph_id: str, runs: Mapping[str, Any]) -> Request:
    return post(f"/graph/{_part(graph_id)}/backtest", {"runs": _given(runs)}, is_repeatable=True)


def prune(rule: Mapping[str, Any], cursor: str | None) -> Request:
    return post("/runs/prune", _given({**rule, "cursor": cursor}))


def limits(cursor: str | None = None) -> Request:
    return get("/limits", limit=PAGE_MAX, cursor=cursor)


def put_limit(name: str, most: int, per_s: float | None) -> Request:
    return _put(f"/limits/{_part(name)}", _given({"max": most, "per_s": per_s}))


def delete_limit(name: str) -> Request:
    return Request("DELETE", f"/limits/{_part(name)}")


def schedules(cursor: str | None = None) -> Request:
    return get("/schedules", limit=PAGE_MAX, cursor=cursor)


def schedule(name: str) -> Request:
    return get(f"/schedules/{_part(name)}")


def put_schedule(name: str, schedule: Mapping[str, Any]) -> Request:
    return _put(f"/schedules/{_part(name)}", schedule)


def steer_schedule(name: str, action: str) -> Request:
    """Return the call for an action: `pause`, `resume` or `trigger`. Only a trigger must not be repeated."""
    return post(f"/schedules/{_part(name)}/{action}", is_repeatable=action != "trigger")


def delete_schedule(name: str) -> Request:
    return Request("DELETE", f"/schedules/{_part(name)}")


def tools() -> Request:
    return get("/tools")


def _part(text: str) -> str:
    """Return `text` quoted as one segment of a path."""
    return quote(text, safe="")


def _given(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members that are not None."""
    return {name: value for name, value in members.items() if value is not None}
