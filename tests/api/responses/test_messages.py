"""What is said of bad requests: what is wrong, where, and what was meant."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from service.api.responses.problems import problem
from tests.support.api.documents import GRAPH, RUN, graph


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/graph/run", {"graph_id": GRAPH, "state": {}}, "no field 'state'; did you mean 'initial_state'?"),
        ("/graph/run", {"graphId": GRAPH}, "did you mean 'graph_id'?"),
        ("/graph/run", [], "should be an object"),
        ("/graph/create", graph(start="a"), "did you mean 'start_node'?"),
        ("/graph/create", graph(edges={"a": {"to": "a", "if": {}}}), "did you mean 'condition'?"),
        (f"/graph/{GRAPH}/backtest", {"runs": {"graph_id": GRAPH, "state": "failed"}}, "did you mean 'status'?"),
        (f"/graph/{GRAPH}/backtest", {"filter": {"graph_id": GRAPH}}, "did you mean 'runs'?"),
        ("/graph/run", {"graph_id": GRAPH, "webhook": {}}, "did you mean 'notify'?"),
        ("/graph/run", {"graph_id": GRAPH, "notify": {"uri": "http://x/"}}, "'uri'; did you mean 'url'?"),
        (
            "/graph/run",
            {"graph_id": GRAPH, "max_steps": 1},
            "no field 'max_steps'; its fields are `graph_id`, `",
        ),
        ("/graph/run", [], ": the body should be an object"),
        (f"/runs/{RUN}/resume", {"state": {}}, "did you mean 'patch'?"),
        ("/runs?page_size=1", None, "did you mean 'limit'?"),
        (f"/runs/{RUN}/logs?since=1", None, "did you mean 'after_seq'?"),
    ],
)
def test_an_unknown_field_comes_with_the_one_that_was_meant(
    client: httpx.Client, path: str, body: Any, says: str
) -> None:
    answer = client.get(path) if body is None else client.post(path, json=body)
    assert answer.status_code == 422
    told = [f"{fault['pointer']}: {fault['message']}" for fault in answer.json()["errors"]]
    assert any(says in each for each in told), told


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/demo/run_data_quality", {"threshold": True}, "/threshold: should be a number"),
        ("/demo/run_data_quality", {"rows": []}, "/rows: should have at least 1 item"),
        (
            "/runs/actions",
            {"action": "cancel", "where": {"tag": ["a:b"] * 21}},
            "/where/tag: should have at most 20 items",
        ),
        ("/graph/run", {"graph_id": GRAPH, "tags": {"a": "b" * 2001}}, "/tags/a: should have at most 2000 characters"),
    ],
)
def test_a_message_names_no_type_of_python(client: httpx.Client, path: str, body: Any, says: str) -> None:
    answer = client.post(path, json=body)
    assert (answer.status_code, answer.json()["detail"]) == (422, says)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "the body is empty; this call takes JSON, see the examples at /docs"),
        (b" \n", "the body is empty; this call takes JSON, see the examples at /docs"),
        (b"{a: 1}", "the body is not JSON: a key in double quotes is expected at line 1, column 2, before 'a: 1}'"),
        (b"\xff", "the body is not JSON: it is not UTF-8: invalid start byte at byte 0"),
    ],
)
def test_what_is_no_json_is_told_in_words(client: httpx.Client, body: bytes, detail: str) -> None:
    for path in ("/graph/run", "/graph/create", f"/runs/{RUN}/signals/go"):
        answer = client.post(path, content=body)
        assert (answer.status_code, answer.json()["detail"]) == (400, detail)


def test_a_wrong_method_comes_with_the_right_ones(client: httpx.Client) -> None:
    answer = client.put("/graph/run")
    assert answer.status_code == 405
    assert answer.json()["detail"] == "'/graph/run' takes POST only"


def test_a_wrong_content_type_comes_with_all_that_are_read(client: httpx.Client) -> None:
    answer = client.post("/demo/run_data_quality", content=b"<a/>", headers={"Content-Type": "application/xml"})
    assert answer.status_code == 415
    assert answer.json()["detail"].endswith("send application/json or text/csv")


@pytest.mark.parametrize(
    ("status", "title"),
    [
        (404, "Not Found"),
        (413, "Request Entity Too Large"),
        (414, "Request-URI Too Long"),
        (416, "Requested Range Not Satisfiable"),
        (422, "Unprocessable Entity"),
    ],
)
def test_a_title_is_the_same_on_every_python(status: int, title: str) -> None:
    assert json.loads(bytes(problem(status, "").body))["title"] == title
