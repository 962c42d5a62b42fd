"""A run's `notify` over HTTP: which are refused, and the list of what was told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.api import ApiSettings
from service.core.operations.webhooks import AllowedHosts
from tests.support.api.harness import COUNT, Server, serving

URL = "https://hooks.example.com/x"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = ApiSettings(webhook_hosts=AllowedHosts(["hooks.example.com"]), can_sign_webhooks=True)
    with serving(tmp_path_factory.mktemp("server"), settings) as found:
        yield found


def start(client: httpx.Client, notify: Any, **headers: str) -> httpx.Response:
    graph_id = client.post("/graph/create", json=COUNT).json()["graph_id"]
    body = {"graph_id": graph_id, "initial_state": {"n": 0, "until": 1}, "notify": notify}
    return client.post("/graph/run", json=body, headers=headers)


def test_what_a_run_has_told_is_listed(server: Server, client: httpx.Client) -> None:
    run_id = start(client, {"url": URL}).json()["run_id"]
    assert client.get(f"/runs/{run_id}/deliveries").json() == {"items": [], "next_cursor": None}
    client.post(f"/runs/{run_id}/pause")
    client.post(f"/runs/{run_id}/resume")
    server.drive(run_id).finish()
    page = client.get(f"/runs/{run_id}/deliveries", params={"limit": 1}).json()
    [first] = page["items"]
    assert (first["webhook_id"], first["event"], first["state"]) == (f"msg_{run_id}_1", "paused", "pending")
    assert first["due_at"] == first["created_at"]
    rest = client.get(f"/runs/{run_id}/deliveries", params={"after": page["next_cursor"]}).json()
    assert [(each["event"], each["due_at"]) for each in rest["items"]] == [("completed", None)]
    assert client.get(f"/runs/{run_id[:-1]}x/deliveries").status_code == 404


@pytest.mark.parametrize(
    ("notify", "pointer"),
    [
        ({"url": "https://example.com/"}, "/notify/url"),
        ({"url": "http://127.0.0.1/"}, "/notify/url"),
        ({"url": "https://hooks.example.com@example.com/"}, "/notify/url"),
        ({"url": URL, "on": []}, "/notify/on"),
        ({"url": URL, "on": ["running"]}, "/notify/on/0"),
        ({"url": URL, "at": "end"}, "/notify/at"),
        ({}, "/notify/url"),
        (URL, "/notify"),
        (None, "/notify"),
    ],
)
def test_a_faulty_notify_is_refused(client: httpx.Client, notify: Any, pointer: str) -> None:
    answer = start(client, notify)
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


def test_without_a_secret_nothing_is_promised(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = ApiSettings(webhook_hosts=AllowedHosts(["hooks.example.com"]))
    with serving(tmp_path_factory.mktemp("unsigned"), settings) as server, server.client() as client:
        answer = start(client, {"url": URL})
    assert answer.status_code == 422
    assert "RUNGRAPH_WEBHOOK_SECRET" in answer.json()["errors"][0]["message"]


def test_the_same_call_again_tells_nobody_else(client: httpx.Client) -> None:
    first = start(client, {"url": URL}, **{"idempotency-key": "k"})
    assert start(client, {"url": URL}, **{"idempotency-key": "k"}).json() == first.json()
    assert start(client, {"url": URL, "on": ["failed"]}, **{"idempotency-key": "k"}).status_code == 409
