"""What there is to read of one run: its path, steps, keys, lines, files and signals."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support.api.executing import UNKNOWN, begin, graph, post, refused, until
from tests.support.api.harness import Server

COUNTING = {
    "name": "counting",
    "start_node": "a",
    "nodes": {"a": "add", "b/c": "add"},
    "edges": {"a": ["b/c"], "b/c": {"to": "a", "condition": {"key": "n", "op": "<", "value": 4}}},
}


@pytest.fixture(scope="module")
def counted(http: httpx.Client) -> str:
    run_id = begin(http, COUNTING, n=0)
    until(http, run_id, "completed")
    return run_id


def test_the_path(http: httpx.Client, counted: str) -> None:
    path = http.get(f"/runs/{counted}/path").json()
    assert {name: (node["visits"], node["failures"], node["last_step"]) for name, node in path["nodes"].items()} == {
        "a": (2, 0, 3),
        "b/c": (2, 0, 4),
    }
    assert all(node["total_ms"] == round(node["total_ms"], 3) >= 0 for node in path["nodes"].values())
    edges = sorted((edge["from"], edge["index"] is None, edge["to"], edge["count"]) for edge in path["edges"][:3])
    assert len(edges) == 3
    assert {"from": "b/c", "index": None, "to": None, "count": 1} in path["edges"]
    assert {"from": "a", "index": 0, "to": "b/c", "count": 2} in path["edges"]
    assert path["partial"] is False


def test_steps_by_node_and_newest_first(http: httpx.Client, counted: str) -> None:
    def numbers(**query: Any) -> tuple[list[int], int | None]:
        answer = http.get(f"/runs/{counted}/steps", params=query).json()
        return [step["step"] for step in answer["items"]], answer["next_cursor"]

    assert numbers(node="b/c") == ([2, 4], None)
    assert numbers(before_step=100, limit=3) == ([4, 3, 2], 2)
    assert numbers(before_step=2) == ([1], None)
    assert numbers(before_step=4, node="a") == ([3, 1], None)
    assert numbers(after_step=2) == ([3, 4], None)
    refused(http.get(f"/runs/{counted}/steps?node=%00"), 422, pointer="/node")
    refused(http.get(f"/runs/{counted}/steps?before_step=-1"), 422, pointer="/before_step")


def test_keys_and_their_values(http: httpx.Client) -> None:
    run_id = begin(http, COUNTING, **{"n": 2, "a/b ä": [1]})
    until(http, run_id, "completed")
    items = http.get(f"/runs/{run_id}/keys").json()["items"]
    assert {"key": "n", "step": 2, "node": "b/c", "bytes": 1} in items
    assert {"key": "a/b ä", "step": 0, "node": None, "bytes": 3} in items
    values = http.get(f"/runs/{run_id}/keys/n", params={"limit": 2}).json()
    assert values == {
        "items": [
            {"step": 2, "node": "b/c", "value": 4, "removed": False},
            {"step": 1, "node": "a", "value": 3, "removed": False},
        ],
        "next_cursor": 1,
    }
    rest = http.get(f"/runs/{run_id}/keys/n", params={"before_step": 1}).json()
    assert rest == {"items": [{"step": 0, "node": None, "value": 2, "removed": False}], "next_cursor": None}
    assert http.get(f"/runs/{run_id}/keys/a%2Fb%20%C3%A4").json()["items"][0]["value"] == [1]
    for key in ("none", "%00", ""):
        refused(http.get(f"/runs/{run_id}/keys/{key}"), 404)
    refused(http.get(f"/runs/{run_id}/keys/n?after_step=1"), 422, pointer="/after_step")


def test_lines_by_level_node_text_and_newest_first(http: httpx.Client, counted: str) -> None:
    def found(**query: Any) -> list[dict[str, Any]]:
        answer = http.get(f"/runs/{counted}/logs", params=query)
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    whole = found()
    assert found(before_seq=10**9) == whole[::-1]
    assert found(before_seq=3) == [whole[1], whole[0]]
    assert found(level="debug") == whole
    assert found(level="error") == []
    assert found(node="b/c") == [line for line in whole if line["node"] == "b/c"]
    assert found(text="run") == [line for line in whole if "run" in line["message"]]
    for query, pointer in (("level=odd", "/level"), ("text=%00", "/text"), ("before_seq=x", "/before_seq")):
        refused(http.get(f"/runs/{counted}/logs?{query}"), 422, pointer=pointer)


def test_files_are_listed_and_sandboxed(http: httpx.Client, live: Server) -> None:
    run_id = begin(http, graph("leave"))
    until(http, run_id, "completed")
    folder = live.runs_folder / run_id
    for name in ("x.html", "x.svg", "x.json", "x.PNG"):
        (folder / name).write_text("<script>alert(1)</script>")
    items = http.get(f"/runs/{run_id}/files").json()["items"]
    assert [item["name"] for item in items] == ["rows.txt", "x.PNG", "x.html", "x.json", "x.svg"]
    assert items[0]["bytes"] == 4
    assert items[0]["modified_at"].endswith("Z")
    for name, is_shown in (("x.html", False), ("x.svg", False), ("x.json", True), ("x.PNG", True), ("rows.txt", True)):
        for query, inline in (("", False), ("?inline=1", is_shown), ("?inline=0", False)):
            answer = http.get(f"/runs/{run_id}/files/{name}{query}")
            kind = "inline" if inline else "attachment"
            assert answer.headers["content-disposition"].startswith(kind), (name, query)
            assert answer.headers["content-security-policy"] == "sandbox"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "html" not in answer.headers["content-type"]
    refused(http.get(f"/runs/{run_id}/files/rows.txt?inline=yes"), 422, pointer="/inline")
    assert http.get(f"/runs/{begin(http, COUNTING, n=9)}/files").json() == {"items": []}


def test_signals_are_listed(http: httpx.Client) -> None:
    run_id = begin(http, graph({"signal": "ok"}, {"signal": "later"}, {"signal": "last"}))
    for name in ("ok", "last"):
        assert post(http, run_id, f"signals/{name}", {"by": "kim"}).status_code == 202
    until(http, run_id, "waiting", step=1)
    items = http.get(f"/runs/{run_id}/signals").json()["items"]
    assert [(item["name"], item["step"], item["bytes"]) for item in items] == [("ok", 1, 12), ("last", None, 12)]
    refused(post(http, run_id, "signals/latr", 1), 422, names="later")


@pytest.mark.parametrize("below", ["path", "keys", "keys/n", "files", "signals", "steps?node=a", "logs?level=info"])
def test_an_unknown_run_is_404(client: httpx.Client, below: str) -> None:
    for run_id in (UNKNOWN, "odd"):
        refused(client.get(f"/runs/{run_id}/{below}"), 404)


def test_a_flowchart_of_any_names(http: httpx.Client) -> None:
    document = {
        "start_node": 'end"]',
        "nodes": {'end"]': "add", "<b>`x`;%%": {"sleep": 1}, "c": {"signal": "ok"}},
        "edges": {
            'end"]': [
                {"to": "<b>`x`;%%", "condition": {"key": "n", "op": ">", "value": '"|'}},
                {"to": "c", "on_error": ["timeout"]},
            ],
            "c": [{"to": None}],
        },
    }
    answer = http.post("/graph/create", json=document)
    chart = http.get(f"/graph/{answer.json()['graph_id']}/mermaid")
    assert chart.headers["content-type"] == "text/plain; charset=utf-8"
    lines = chart.text.splitlines()
    assert lines[0] == "flowchart TD"
    assert lines[1] == "    begin(( )) --> n2"
    assert '    n2["end#34;#93;#58; add"]' in lines
    assert '    n0(["#60;b#62;#96;x#96;#59;#37;#37;#58; sleep 1 s"])' in lines
    assert '    n2 --> |"n #62; #34;#92;#34;#124;#34;"| n0' in lines
    assert '    n2 -.-> |"on timeout"| n1' in lines
    assert "    n1 --> finish" in lines
    refused(http.get(f"/graph/{'0' * 32}/mermaid"), 404)


def test_a_backtest_of_chosen_runs(http: httpx.Client, counted: str) -> None:
    run = http.get(f"/runs/{counted}").json()
    path = f"/graph/{run['graph_id']}/backtest"
    assert http.post(path, json={"runs": {"run_ids": [counted, counted]}}).json()["runs"] == 1
    assert http.post(path, json={"runs": {"run_ids": [counted], "status": "failed"}}).json()["runs"] == 0
    refused(http.post(path, json={"runs": {}}), 422, pointer="/runs/graph_id")
    refused(http.post(path, json={"runs": {"run_ids": []}}), 422, pointer="/runs/run_ids")
    for run_id in (UNKNOWN, "odd"):
        refused(http.post(path, json={"runs": {"run_ids": [run_id]}}), 404)


@pytest.mark.parametrize(
    ("tags", "pointer"),
    [
        ({f"k{number}": "" for number in range(101)}, "/tags"),
        ({"k" * 201: ""}, f"/tags/{'k' * 201}"),
        ({"k": "v" * 2001}, "/tags/k"),
    ],
)
def test_tags_are_bounded(client: httpx.Client, tags: dict[str, str], pointer: str) -> None:
    refused(client.post("/graph/run", json={"graph_id": "0" * 32, "tags": tags}), 422, pointer=pointer)


def test_names_of_nodes_are_bounded(client: httpx.Client) -> None:
    for length, status in ((1000, 201), (1001, 422)):
        name = "n" * length
        answer = client.post("/graph/create", json={"start_node": name, "nodes": {name: "add"}})
        assert answer.status_code == status
    refused(answer, 422, pointer=f"/nodes/{name}")
