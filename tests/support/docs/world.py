"""Runs of every kind on a server, and the same rows in a PostgreSQL."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg

from service.store.schema.models import metadata
from tests.support.checkout import CHECKOUT
from tests.support.receiving import receiving
from tests.support.system.process import Server, until

Rows = list[tuple[Any, ...]]

NAP = {"start_node": "nap", "nodes": {"nap": {"sleep": 100_000}}}
STOPPED = {"start_node": "a", "max_steps": 2, "nodes": {"a": "improve_guess"}, "edges": {"a": "a"}}
BACKOFF = {"start_node": "a", "nodes": {"a": {"tool": "improve_guess", "retry": {"backoff_s": 50_000}}}}
CAUGHT = {
    "start_node": "a",
    "nodes": {"a": "improve_guess", "b": "release"},
    "edges": {"a": {"to": "b", "on_error": True}},
}
MISMATCH = {
    "start_node": "a",
    "nodes": {"a": "release"},
    "edges": {"a": [{"to": "a", "condition": {"key": "big", "op": "<", "value": 2}}, {"to": None}]},
}


def make_runs(server: Server) -> dict[str, str]:
    """Start runs, bring each to where it rests, and return their ids by what they are."""
    assert server.call("PUT", "/limits/world", json={"max": 3}).status_code in (200, 201)
    order, root = (example(name) for name in ("order_approval", "first_steps"))
    server.create(example("etl_with_retries", "page.json"))
    ids = {
        "completed": start(server, root, number=2),
        "failed": start(server, root, number=-1),
        "resumed": start(server, root, number=-1),
        "ordered": start(server, order, price=5),
        "tagged": tagged(server, order, {"customer": "7", "é:\\": 'a"b'}),
        "paused": start(server, order, price=6),
        "cancelled": start(server, BACKOFF, root=0, number=1),
        "sleeping": start(server, NAP, removed=None),
        "stopped": start(server, STOPPED, root=1.0, number=2),
        "backing off": start(server, BACKOFF, root=0, number=1),
        "caught": start(server, CAUGHT, root=0, number=1, text="two\nlines"),
        "mismatched": start(server, MISMATCH, big=["x" * 2000], exact=12345678901234567890123, float=1.5),
        "parent": start(server, example("etl_with_retries")),
        "waiting parent": start(server, fan(server, order), price=7, items=[1, 2]),
    }
    for name in ("ordered", "tagged", "paused", "cancelled", "sleeping", "backing off", "waiting parent"):
        server.follow(ids[name], until=["waiting"])
    server.follow(ids["stopped"], until=["paused"])
    for name in ("completed", "failed", "resumed", "caught", "mismatched"):
        server.follow(ids[name])
    post(server, ids["ordered"], "signals/approval", {"granted": False})
    post(server, ids["paused"], "pause")
    post(server, ids["paused"], "signals/approval", [1, {"a": None}])
    post(server, ids["cancelled"], "cancel")
    post(server, ids["resumed"], "resume", {"patch": {"number": 4, "root": 1.0}})
    ids["telling"] = telling(server, root)
    ids["triggered"] = schedule(server, "weekly", root)
    ids["fork"] = post(server, ids["completed"], "fork", {"step": 2})["run_id"]
    for name in ("ordered", "resumed", "fork", "parent", "triggered"):
        server.follow(ids[name])
    return ids


def example(name: str, file: str = "graph.json") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CHECKOUT / "examples" / name / file).read_text())
    return found


def fan(server: Server, child: dict[str, Any]) -> dict[str, Any]:
    node = {"graph": server.create(child), "for_each": "items", "input": ["price"], "into": "orders"}
    return {"name": "fan", "start_node": "orders", "nodes": {"orders": node}}


def start(server: Server, graph: dict[str, Any], **state: Any) -> str:
    return server.run(server.create(graph), **state)


def tagged(server: Server, graph: dict[str, Any], tags: dict[str, str]) -> str:
    body = {"graph_id": server.create(graph), "initial_state": {"price": 8}, "tags": tags}
    return str(server.call("POST", "/graph/run", json=body).json()["run_id"])


def telling(server: Server, graph: dict[str, Any]) -> str:
    """Start a run that tells of its end, and return its id when a receiver has been told."""
    with receiving() as receiver:
        notify = {"url": receiver.url(), "on": ["completed"]}
        body = {"graph_id": server.create(graph), "initial_state": {"number": 2}, "notify": notify}
        run_id = str(server.call("POST", "/graph/run", json=body).json()["run_id"])
        until(lambda: [each["state"] for each in deliveries(server, run_id)] == ["delivered"])
    return run_id


def deliveries(server: Server, run_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.call("GET", f"/runs/{run_id}/deliveries").json()["items"]
    return found


def schedule(server: Server, name: str, graph: dict[str, Any]) -> str:
    """Set a schedule, and trigger its first run; return the id of that."""
    body = {"graph_id": server.create(graph), "cron": "0 5 * * MON", "initial_state": {"number": 2}}
    assert server.call("PUT", f"/schedules/{name}", json=body).status_code in (200, 201)
    return str(server.call("POST", f"/schedules/{name}/trigger").json()["run_id"])


def post(server: Server, run_id: str, what: str, body: Any = None) -> Any:
    answer = server.call("POST", f"/runs/{run_id}/{what}", json={} if body is None else body)
    assert answer.status_code == 202, answer.text
    return answer.json()


def copy(file: Path, still: Path, url: str) -> None:
    """Copy a SQLite database to the file `still`, and every row of that into a migrated PostgreSQL.

    A server goes on with the original: it tries a delivery again, for example.
    """
    with closing(sqlite3.connect(file)) as live, closing(sqlite3.connect(still)) as source:
        live.backup(source)
    with closing(sqlite3.connect(still)) as source, psycopg.connect(url) as target:
        for table in metadata.sorted_tables:
            names = ", ".join(f'"{column.name}"' for column in table.c)
            rows = source.execute(f"SELECT {names} FROM {table.name}").fetchall()
            marks = ", ".join(["%s"] * len(table.c))
            target.cursor().executemany(f"INSERT INTO {table.name} ({names}) VALUES ({marks})".encode(), rows)


def in_sqlite(file: Path, query: str) -> tuple[list[str], Rows]:
    """Return the names of the columns, and the rows."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        cursor = connection.execute(query)
        return [column[0] for column in cursor.description], cursor.fetchall()


def in_postgres(url: str, query: str) -> tuple[list[str], Rows]:
    """Return the names of the columns, and the rows with values as SQLite has them."""
    with psycopg.connect(url, options="-c TimeZone=UTC") as connection:
        cursor = connection.execute(query.encode())
        assert cursor.description is not None
        names = [column.name for column in cursor.description]
        return names, [tuple(map(_as_in_sqlite, row)) for row in cursor.fetchall()]


def _as_in_sqlite(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return float(value) if isinstance(value, Decimal) else value
