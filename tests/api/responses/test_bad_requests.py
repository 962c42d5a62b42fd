"""A hundred bad requests and more: each is a 4xx problem, and the database stays as it was, to the row."""

from __future__ import annotations

import json
import socket
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api import ApiSettings
from tests.support.api.documents import GRAPH, NODES, RUN, graph
from tests.support.api.harness import COUNT, Server, deep, serving


@dataclass(frozen=True)
class Bad:
    status: int
    path: str
    body: Any = None
    """Bytes, or what is sent as JSON; None: a GET."""
    pointer: str | None = None
    """Of the first fault."""
    headers: dict[str, str] = field(default_factory=dict)
    method: str | None = None


def edge(condition: Any) -> dict[str, Any]:
    return graph(edges={"a": [{"to": "a", "condition": condition}]})


def compare(**changes: Any) -> dict[str, Any]:
    return edge({"key": "n", "op": "==", "value": 1} | changes)


def nested(levels: int) -> Any:
    condition: Any = {"key": "n", "op": "exists"}
    for _ in range(levels - 1):
        condition = {"not": condition}
    return condition


CONDITION = "/edges/a/0/condition"

TEXTS = [
    b"",
    b" ",
    b"{",
    b"}",
    b"nul",
    b"'a'",
    b"{'a': 1}",
    b'{"a": 1,}',
    b'{"a": 1} x',
    b"\xff\xfe{}",
    b'"\xed\xa0\x80"',
    b"\xef\xbb\xbf{}",
    b"NaN",
    b'{"nodes": NaN}',
    b'{"nodes": Infinity}',
    b'{"nodes": -Infinity}',
    b'{"nodes": 1e999}',
    b'{"nodes": -1e999}',
    b'{"nodes": 01}',
    b'{"nodes": "a\nb"}',
    b'{"nodes": ' + b"1" * 5000 + b"}",
    b'{"nodes": {}, "nodes": {}}',
    b'{"nodes": {"a": {"a": 1, "a": 2}}}',
    b"[" * 100_000 + b"x",
]

SHAPES: list[tuple[bytes, str]] = [
    (b"[]", ""),
    (b"null", ""),
    (b'"text"', ""),
    (b"1", ""),
    (b"true", ""),
    (b'{"x": "\\u0000"}', "/x"),
    (b'{"x": "\\ud800"}', "/x"),
    (b'{"x": ["\\udc00\\ud800"]}', "/x/0"),
    (b'{"\\u0000": 1}', "/\ufffd"),
    (b'{"\\ud800": 1}', "/\ufffd"),
    (b"[" * 100_000 + b"]" * 100_000, "/0" * 10),
    (b'{"x":' * 50_000 + b"1" + b"}" * 50_000, "/x" * 10),
]

GRAPHS = [
    Bad(422, "/graph/create", document, pointer)
    for document, pointer in [
        ({}, ""),
        ({"nodes": NODES}, ""),
        ({"start_node": "a"}, ""),
        (graph(nodes={}), "/nodes"),
        (graph(nodes=[]), "/nodes"),
        (graph(nodes=None), "/nodes"),
        (graph(nodes={"a": 1}), "/nodes/a"),
        (graph(nodes={"a": {}}), "/nodes/a"),
        (graph(nodes={"a": {"tool": None}}), "/nodes/a/tool"),
        (graph(nodes={"a": "nothing"}), "/nodes/a"),
        (graph(nodes={"a": {"tool": "add", "metadata": []}}), "/nodes/a/metadata"),
        (graph(nodes={"a": {"tool": "add", "metadata": deep(101)}}), "/nodes/a/metadata" + "/k" * 100),
        (graph(nodes={"a": {"tool": "add", "more": 1}}), "/nodes/a/more"),
        (graph(nodes={"a": "add", "": "add"}), "/nodes/"),
        (graph(nodes={"a": {"sleep": -1}}), "/nodes/a/sleep"),
        (graph(nodes={"a": {"sleep": 1, "signal": "x"}}), "/nodes/a"),
        (graph(nodes={"a": {"signal": ""}}), "/nodes/a/signal"),
        (graph(nodes={"a": {"graph": GRAPH}}), "/nodes/a"),
        (graph(nodes={"a": {"graph": GRAPH, "into": "x"}}), "/nodes/a/graph"),
        (graph(nodes={"a": {"graph": "x", "into": "x"}}), "/nodes/a/graph"),
        (graph(nodes={"a": {"graph": "", "into": "x"}}), "/nodes/a/graph"),
        (graph(nodes={"a": {"graph": 1, "into": "x"}}), "/nodes/a/graph"),
        (graph(nodes={"a": {"tool": "add", "retry": {"max_attempts": 0}}}), "/nodes/a/retry/max_attempts"),
        (graph(nodes={"a": {"tool": "add", "isolate": 1}}), "/nodes/a/isolate"),
        (graph(start_node="b"), "/start_node"),
        (graph(start_node=None), "/start_node"),
        (graph(name=1), "/name"),
        (graph(name=None), "/name"),
        (graph(max_steps=0), "/max_steps"),
        (graph(max_steps=-1), "/max_steps"),
        (graph(max_steps=1.0), "/max_steps"),
        (graph(max_steps=True), "/max_steps"),
        (graph(max_steps="1"), "/max_steps"),
        (graph(max_steps=2**63), "/max_steps"),
        (graph(edges=[]), "/edges"),
        (graph(edges=None), "/edges"),
        (graph(edges={"b": "a"}), "/edges/b"),
        (graph(edges={"a": "b"}), "/edges/a"),
        (graph(edges={"a": None}), "/edges/a"),
        (graph(edges={"a": 1}), "/edges/a"),
        (graph(edges={"a": [["a"]]}), "/edges/a/0"),
        (graph(edges={"a": {}}), "/edges/a"),
        (graph(edges={"a": {"to": 1}}), "/edges/a/to"),
        (graph(edges={"a": {"to": "a", "if": {}}}), "/edges/a/if"),
        (graph(edges={"a": {"to": "a", "on_error": False}}), "/edges/a/on_error"),
        (graph(edges={"a": ["a", "a"]}), "/edges/a/0"),
        (graph(tasks={}), "/tasks"),
        (edge(None), CONDITION),
        (edge([]), CONDITION),
        (edge({}), CONDITION),
        (edge({"all": []}), f"{CONDITION}/all"),
        (edge({"any": {}}), f"{CONDITION}/any"),
        (edge({"not": None}), f"{CONDITION}/not"),
        (edge(nested(33)), CONDITION + "/not" * 32),
        (compare(key=""), f"{CONDITION}/key"),
        (compare(key=1), f"{CONDITION}/key"),
        (compare(key="/~2"), f"{CONDITION}/key"),
        (compare(op="="), f"{CONDITION}/op"),
        (compare(op=None), f"{CONDITION}/op"),
        (compare(op="in"), f"{CONDITION}/value"),
        (compare(op="exists"), f"{CONDITION}/value"),
        (compare(op="is_type", value="int"), f"{CONDITION}/value"),
        (compare(value_from="m"), f"{CONDITION}/value_from"),
        (compare(value=deep(101)), f"{CONDITION}/value" + "/k" * 100),
        (compare(regex="a+"), f"{CONDITION}/regex"),
        (edge({"key": "n", "op": "=="}), CONDITION),
        (edge({"key": "n", "op": "exists", "value_from": "m"}), f"{CONDITION}/value_from"),
    ]
]

RUNS = [
    Bad(422, "/graph/run", {}, "/graph_id"),
    Bad(422, "/graph/run", {"graph_id": 1}, "/graph_id"),
    Bad(422, "/graph/run", {"graph_id": None}, "/graph_id"),
    Bad(422, "/graph/run", {"graph_id": GRAPH, "initial_state": []}, "/initial_state"),
    Bad(422, "/graph/run", {"graph_id": GRAPH, "initial_state": None}, "/initial_state"),
    Bad(422, "/graph/run", {"graph_id": GRAPH, "initial_state": deep(101)}, "/initial_state" + "/k" * 100),
    Bad(422, "/graph/run", {"graph_id": GRAPH, "tags": []}, "/tags"),
    Bad(422, "/graph/run", {"graph_id": GRAPH, "tags": {"a": 1}}, "/tags/a"),
    Bad(422, "/graph/run", {"graph_id": GRAPH, "tags": {"a/b": None}}, "/tags/a~1b"),
    Bad(422, "/graph/run", {"graph_id": GRAPH, "state": {}}, "/state"),
    Bad(422, "/graph/run?x=1", {"graph_id": GRAPH}, "/x"),
    Bad(422, "/graph/run", b'{"graph_id": "\\ud800"}', "/graph_id"),
    Bad(404, "/graph/run", {"graph_id": GRAPH}),
    Bad(404, "/graph/run", {"graph_id": "x"}),
    Bad(404, "/graph/run", {"graph_id": ""}),
    Bad(404, "/graph/run", {"graph_id": "\u2603" * 1000}),
    Bad(415, "/graph/run", b"<a/>", headers={"content-type": "application/xml"}),
    Bad(415, "/graph/create", b"a=1", headers={"content-type": "application/x-www-form-urlencoded"}),
]

QUERIES = [
    Bad(422, f"{path}{'&' if '?' in path else '?'}{query}", pointer=f"/{query.partition('=')[0]}")
    for path, query in [
        ("/graphs", "limit=0"),
        ("/graphs", "limit=1001"),
        ("/graphs", "limit=-1"),
        ("/graphs", "limit=1.0"),
        ("/graphs", "limit=+1"),
        ("/graphs", "limit="),
        ("/graphs", "limit=%201"),
        ("/graphs", "limit=1_0"),
        ("/graphs", "limit=1e2"),
        ("/graphs", "limit=01"),
        ("/graphs", "limit=0x10"),
        ("/graphs", "limit=%D9%A3"),
        ("/graphs", "limit=true"),
        ("/graphs", "limit=" + "9" * 5000),
        ("/graphs?limit=1", "limit=2"),
        ("/graphs", "cursor=x"),
        ("/graphs", "cursor="),
        ("/graphs", "cursor=%00"),
        ("/graphs", f"cursor={GRAPH}"),
        ("/graphs", "Limit=1"),
        ("/graphs", "offset=1"),
        ("/runs", "status=done"),
        ("/runs", "status=Queued"),
        ("/runs", "status="),
        ("/runs", "tag=novalue"),
        ("/runs", "tag=a:%00"),
        ("/runs", "limit=99999"),
        ("/runs", f"cursor={RUN}"),
        ("/runs", "cursor=1%27%20OR%201=1"),
        ("/runs", "tags=a:b"),
        (f"/graph/state/{RUN}", "after_seq=-1"),
        (f"/graph/state/{RUN}", "after_seq=9223372036854775808"),
        (f"/graph/state/{RUN}", "limit=0"),
        (f"/graph/state/{RUN}", "after_step=0"),
        (f"/runs/{RUN}/steps", "after_step=x"),
        (f"/runs/{RUN}/steps", "after_step=9223372036854775808"),
        (f"/runs/{RUN}/state", "step=-1"),
        (f"/runs/{RUN}/state", "step=latest"),
        (f"/runs/{RUN}/logs", "after_seq=1.5"),
        (f"/runs/{RUN}/events", "after_seq=null"),
        (f"/runs/{RUN}/files/x", "download=1"),
        ("/tools", "x=1"),
        ("/livez", "x=1"),
        ("/readyz", "x=1"),
    ]
]

REST = [
    Bad(422, f"/runs/{RUN}/events", pointer="/last-event-id", headers={"Last-Event-ID": "x"}),
    Bad(422, f"/runs/{RUN}/events", pointer="/last-event-id", headers={"Last-Event-ID": "-1"}),
    Bad(404, f"/runs/{RUN}/logs"),
    Bad(404, "/nothing"),
    Bad(404, "/graphs/"),
    Bad(404, "//runs"),
    Bad(404, f"/ws/logs/{RUN}"),
    Bad(405, "/runs", method="DELETE"),
    Bad(405, "/graph/create"),
    Bad(405, "/graph/run"),
    Bad(405, "/graph/run", method="PUT"),
    Bad(405, "/demo/run_data_quality"),
    Bad(405, "/livez", {}),
    *[Bad(404, f"/runs/{RUN}/{call}", {}) for call in ("cancel", "pause", "resume", "signals/go", "fork")],
    Bad(404, f"/runs/{RUN}/why"),
    Bad(404, f"/graph/{GRAPH}/backtest", {"runs": {"graph_id": GRAPH}}),
    Bad(422, "/session", {}, ""),
]

ALL = [
    *[Bad(400, path, body) for path in ("/graph/create", "/graph/run") for body in TEXTS],
    *[Bad(422, path, body, pointer) for path in ("/graph/create", "/graph/run") for body, pointer in SHAPES],
    *GRAPHS,
    *RUNS,
    *QUERIES,
    *REST,
]


@pytest.fixture(scope="module")
def rows(server: Server, client: httpx.Client) -> dict[str, list[Any]]:
    """All rows of a database that holds something."""
    run_id = server.start(client, until=2)
    server.drive(run_id).finish()
    return server.tables()


def send(client: httpx.Client, bad: Bad) -> httpx.Response:
    method = bad.method or ("GET" if bad.body is None else "POST")
    content = bad.body if isinstance(bad.body, bytes | None) else json.dumps(bad.body).encode()
    # An absolute URL, since httpx takes a path that begins with two slashes for a host.
    url = f"{str(client.base_url).rstrip('/')}{bad.path}"
    return client.request(method, url, content=content, headers=bad.headers)


def test_they_are_more_than_a_hundred() -> None:
    assert len({(bad.path, repr(bad.body), str(bad.headers), bad.method) for bad in ALL}) == len(ALL) > 150


@pytest.mark.parametrize("bad", ALL, ids=lambda bad: f"{bad.path:.40}-{bad.body!r:.60}")
def test_a_bad_request_is_a_problem_and_changes_nothing(
    server: Server, client: httpx.Client, rows: dict[str, list[Any]], bad: Bad
) -> None:
    answer = send(client, bad)
    assert (answer.status_code, answer.headers["content-type"]) == (bad.status, "application/problem+json"), answer.text
    problem = answer.json()
    assert problem.keys() - {"errors"} == {"type", "title", "status", "detail"}
    assert problem["status"] == bad.status
    assert ("errors" in problem) == (bad.status == 422)
    if bad.status == 405:
        assert problem["detail"] == f"{bad.path!r} takes {answer.headers['allow']} only"
    if bad.pointer is not None:
        assert problem["errors"][0]["pointer"].startswith(bad.pointer)
        assert problem["errors"][0]["message"]
    assert server.tables() == rows


class TestSizes:
    def test_a_body_of_a_mebibyte_is_read_and_one_more_byte_is_not(self, client: httpx.Client) -> None:
        for length, status in [(2**20, 404), (2**20 + 1, 413)]:
            body = json.dumps({"graph_id": GRAPH, "initial_state": {"x": ""}}).encode()
            body = body.replace(b'""', b'"' + b"x" * (length - len(body)) + b'"')
            assert client.post("/graph/run", content=body).status_code == status
            # Announced by no length, it is counted as it comes.
            answer = client.post("/graph/run", content=iter([body[:1000], body[1000:]]))
            assert (answer.status_code, answer.json()["status"]) == (status, status)

    def test_a_length_too_large_is_refused_before_the_body_comes(self, server: Server) -> None:
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as raw:
            raw.sendall(b"POST /graph/run HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999\r\n\r\n")
            assert raw.recv(100).startswith(b"HTTP/1.1 413 ")

    def test_a_state_above_its_limit_is_422(self, tmp_path: Path) -> None:
        with serving(tmp_path, ApiSettings(state_bytes_max=100)) as server, server.client() as client:
            graph_id = client.post("/graph/create", json=COUNT).json()["graph_id"]
            for length, status in [(92, 202), (93, 422)]:
                body = {"graph_id": graph_id, "initial_state": {"x": "y" * length}}
                assert client.post("/graph/run", json=body).status_code == status
            (fault,) = client.post("/graph/run", json=body).json()["errors"]
            assert fault["pointer"] == "/initial_state"


def test_a_client_that_breaks_off_changes_nothing(
    server: Server, client: httpx.Client, rows: dict[str, list[Any]]
) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as raw:
        raw.sendall(b'POST /graph/create HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\n{"start_node":')
    assert client.get("/livez").status_code == 200
    assert server.tables() == rows


def test_a_locked_database_is_503_and_readable(
    server: Server, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.api.routes.graphs.WRITE_WITHIN_S", 0.2)
    other = sqlite3.connect(server.database.name, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        answer = client.post("/graph/create", json={**COUNT, "name": "locked"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.headers["content-type"] == "application/problem+json"
        assert client.get("/runs").status_code == 200
    finally:
        other.close()
    assert client.post("/graph/create", json={**COUNT, "name": "locked"}).status_code == 201


def test_readiness_gives_the_reason(server: Server, client: httpx.Client) -> None:
    assert (client.get("/livez").json(), client.get("/readyz").json()) == ({"status": "ok"}, {"status": "ok"})
    server.reason.append("the disk is full")
    answer = client.get("/readyz")
    server.reason.clear()
    assert (answer.status_code, answer.json()["detail"]) == (503, "the disk is full")
    assert client.get("/livez").status_code == 200
