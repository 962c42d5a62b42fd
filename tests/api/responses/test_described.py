"""The OpenAPI document and the server hold each other to their word: each example is taken, each answer is given."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import httpx
import jsonschema_rs
import pytest
import schemathesis

from service import example
from service.api import ApiSettings, create_api
from service.api.routes.runs import forks
from service.server import built_in_example
from tests.support.api.executing import TOOLS, UNKNOWN, begin, executing, graph, post, until
from tests.support.api.harness import Server, no_lifespan, serving
from tests.support.store.harness import sql

BODY_BYTES_MAX = 2**14

UNSTARTED = create_api(ApiSettings(), no_lifespan)
DOCUMENT: dict[str, Any] = UNSTARTED.openapi()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)

OPERATIONS = {
    operation["operationId"]: (method, path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
BODIES = [
    (name, media_type, shown)
    for name, (_, _, operation) in OPERATIONS.items()
    for media_type, media in operation.get("requestBody", {"content": {}})["content"].items()
    for shown in media["examples"]
]
ANSWERS = [(name, int(status)) for name, (_, _, operation) in OPERATIONS.items() for status in operation["responses"]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    tools = (*example.TOOLS, *TOOLS)
    settings = ApiSettings(body_bytes_max=BODY_BYTES_MAX)
    with executing(tmp_path_factory.mktemp("described"), settings, tools) as found:
        found.app.state.services = replace(found.services, example=built_in_example(found.services.tools))
        yield found


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as found:
        yield found


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client without the token that its server asks for."""
    settings = ApiSettings(api_token="t")
    with serving(tmp_path_factory.mktemp("closed"), settings) as found, found.client() as client:
        yield client


@pytest.fixture(scope="module")
def graph_id(client: httpx.Client) -> str:
    """The graph of the document's first example."""
    first = next(iter(examples_of("create_graph", "application/json").values()))
    answer = client.post("/graph/create", json=first["value"])
    assert answer.status_code == 201, answer.text
    found: str = answer.json()["graph_id"]
    return found


def examples_of(name: str, media_type: str) -> dict[str, Any]:
    found: dict[str, Any] = OPERATIONS[name][2]["requestBody"]["content"][media_type]["examples"]
    return found


def checked(name: str, answer: httpx.Response) -> httpx.Response:
    """`answer`, once the document has it."""
    method, path, _ = OPERATIONS[name]
    SCHEMA[path][method].validate_response(answer)
    return answer


def path_of(operation: str, **ids: str) -> str:
    found: str = OPERATIONS[operation][1].format(**ids)
    return found


def waiting(client: httpx.Client) -> str:
    """A run that has made a step and waits for the signal `approval`."""
    run_id = begin(client, graph("add", {"signal": "approval"}))
    until(client, run_id, "waiting")
    return run_id


def paused(client: httpx.Client) -> str:
    run_id = waiting(client)
    assert post(client, run_id, "pause").status_code == 202
    return run_id


def over(client: httpx.Client) -> str:
    run_id = begin(client, graph("leave"))
    until(client, run_id, "completed")
    return run_id


@pytest.mark.parametrize(("name", "media_type", "shown"), BODIES)
def test_every_example_of_a_body_is_taken(
    client: httpx.Client, graph_id: str, name: str, media_type: str, shown: str
) -> None:
    value = examples_of(name, media_type)[shown]["value"]
    run_id = paused(client) if name == "resume_run" else waiting(client) if "{run_id}" in OPERATIONS[name][1] else ""
    body = value if media_type == "text/csv" else json.dumps(value)
    answer = client.request(
        OPERATIONS[name][0],
        path_of(name, run_id=run_id, graph_id=graph_id, name="approval"),
        content=body,
        headers={"Content-Type": media_type},
    )
    assert answer.status_code in (200, 201, 202, 204), answer.text
    checked(name, answer)


def test_whatever_is_shown_beside_a_schema_is_of_it() -> None:
    """Parameters, headers and answers: wherever the document shows a value, it is one."""
    resolved = {"components": DOCUMENT["components"]}
    shown = list(shown_values(DOCUMENT["paths"]))
    assert shown
    for schema, value in shown:
        jsonschema_rs.validate({**schema, **resolved}, value)


def shown_values(part: Any) -> Iterator[tuple[Any, Any]]:
    """Every value that is shown beside a schema, with that schema."""
    if isinstance(part, dict):
        if "schema" in part:
            yield from ((part["schema"], each["value"]) for each in part.get("examples", {}).values())
            if "example" in part:
                yield part["schema"], part["example"]
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from shown_values(inner)


def test_a_null_in_an_example_is_shown(client: httpx.Client) -> None:
    """A null says something: an edge to the end, a key that a patch removes."""
    assert client.get("/openapi.json").json() == DOCUMENT
    shown = examples_of("create_graph", "application/json")["data-quality"]["value"]
    assert shown["edges"]["detect"][1] == {"to": None}
    assert examples_of("resume_run", "application/json")["patch"]["value"]["patch"]["note"] is None


@pytest.mark.parametrize(("name", "status"), ANSWERS)
def test_every_answer_of_the_document_is_given(
    server: Server, client: httpx.Client, closed: httpx.Client, graph_id: str, name: str, status: int
) -> None:
    if status == 400:
        assert status_with_two_hosts(server, name) == 400
        return
    if (name, status) == ("begin_session", 401):
        answer = closed.post("/session", json={"token": "wrong"})
    elif (name, status) == ("resume_schedule", 409):
        answer = resumed_in_no_zone(server, client, graph_id)
    else:
        answer = closed.request(*somewhere(name)) if status == 401 else given(client, graph_id, name, status)
    assert answer.status_code == status, answer.text
    checked(name, answer)


def somewhere(name: str) -> tuple[str, str]:
    """The method and a path of the operation `name`, about things that are not there."""
    return OPERATIONS[name][0], path_of(name, run_id=UNKNOWN, graph_id="0" * 32, name="x", key="x")


def status_with_two_hosts(server: Server, name: str) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection:
        method, path = somewhere(name)
        connection.putrequest(method.upper(), path, skip_host=True)
        connection.putheader("Host", "localhost")
        connection.putheader("Host", "localhost")
        connection.endheaders()
        return connection.getresponse().status


def given(client: httpx.Client, graph_id: str, name: str, status: int) -> httpx.Response:
    """The answer of that status of the operation `name`."""
    if status < 400 or status == 409:
        return SPECIAL[name, status](client, graph_id)
    method, path = somewhere(name)
    if status == 503:
        return without_lifespan(method, path)
    if status == 404 and name in ("list_runs", "count_runs"):
        return client.get(path, params={"graph_id": "0" * 32})
    if status == 404 and name == "act_on_runs":
        return client.post(path, json={"action": "cancel", "where": {"graph_id": "0" * 32}})
    if status == 404 and name == "start_run":
        return client.post(path, json={"graph_id": "0" * 32})
    if status == 404 and name == "put_schedule":
        return scheduled(client, "0" * 32, "unknown")
    asked: dict[int, dict[str, Any]] = {
        403: {"headers": {"Host": "example.org"}},
        404: {} if method == "get" else {"json": {"runs": {"graph_id": "0" * 32}} if name == "backtest" else {}},
        413: {"content": b" " * (BODY_BYTES_MAX + 1)},
        415: {"content": b"x", "headers": {"Content-Type": "text/plain"}},
        414: {"params": {"odd": "1" * 20_000}},
        422: {"params": {"odd": "1"}},
        431: {"headers": {"Odd": "1" * 40_000}},
    }
    return client.request(method, path, **asked[status])


def started_with_key(client: httpx.Client, body: dict[str, Any]) -> httpx.Response:
    return client.post("/graph/run", json=body, headers={"Idempotency-Key": "described"})


def signalled_with_key(client: httpx.Client) -> httpx.Response:
    run_id, headers = waiting(client), {"Idempotency-Key": "k"}
    first = client.post(f"/runs/{run_id}/signals/approval", json=1, headers=headers)
    assert first.status_code == 202
    return client.post(f"/runs/{run_id}/signals/approval", json=1, headers=headers)


def signals_of(client: httpx.Client) -> httpx.Response:
    run_id = waiting(client)
    assert post(client, run_id, "signals/approval", 1).status_code == 202
    return client.get(f"/runs/{run_id}/signals")


def file_of(client: httpx.Client) -> httpx.Response:
    return client.get(f"/runs/{over(client)}/files/rows.txt")


def read(client: httpx.Client, path: str) -> httpx.Response:
    return client.get(f"/runs/{over(client)}/{path}")


def resumed_in_no_zone(server: Server, client: httpx.Client, graph_id: str) -> httpx.Response:
    """The answer where the server does not know the zone of a schedule; another version of it did."""
    scheduled(client, graph_id, "far")
    client.post("/schedules/far/pause")
    with sql(server.database) as session:
        session.execute("UPDATE schedules SET timezone = 'Mars/Olympus' WHERE name = 'far'")
    return client.post("/schedules/far/resume")


def scheduled(client: httpx.Client, graph_id: str, name: str) -> httpx.Response:
    return client.put(f"/schedules/{name}", json={"graph_id": graph_id, "cron": "0 2 * * *"})


Answered = Callable[[httpx.Client, str], httpx.Response]

SPECIAL: dict[tuple[str, int], Answered] = {
    ("create_graph", 201): lambda c, _: c.post("/graph/create", json=graph("add", name="described")),
    ("create_graph", 200): lambda c, _: [c.post("/graph/create", json=graph("add", name="twice")) for _ in "ab"][1],
    ("get_graph", 200): lambda c, g: c.get(f"/graph/{g}"),
    ("list_graphs", 200): lambda c, _: c.get("/graphs"),
    ("start_run", 202): lambda c, g: c.post("/graph/run", json={"graph_id": g}),
    ("start_run", 200): lambda c, g: [started_with_key(c, {"graph_id": g}) for _ in "ab"][1],
    ("start_run", 409): lambda c, g: [started_with_key(c, {"graph_id": g, "tags": {"a": t}}) for t in "ab"][1],
    ("get_state", 200): lambda c, _: c.get(f"/graph/state/{over(c)}"),
    ("list_runs", 200): lambda c, _: c.get("/runs"),
    ("list_steps", 200): lambda c, _: read(c, "steps"),
    ("get_state_at", 200): lambda c, _: read(c, "state"),
    ("list_lines", 200): lambda c, _: read(c, "logs"),
    ("stream_events", 200): lambda c, _: read(c, "events"),
    ("stream_events", 204): lambda c, _: read(c, "events?after_seq=100"),
    ("get_file", 200): lambda c, _: file_of(c),
    ("list_tools", 200): lambda c, _: c.get("/tools"),
    ("cancel_run", 202): lambda c, _: post(c, waiting(c), "cancel"),
    ("cancel_run", 409): lambda c, _: post(c, over(c), "cancel"),
    ("pause_run", 202): lambda c, _: post(c, waiting(c), "pause"),
    ("pause_run", 409): lambda c, _: post(c, over(c), "pause"),
    ("resume_run", 202): lambda c, _: post(c, paused(c), "resume"),
    ("resume_run", 409): lambda c, _: post(c, over(c), "resume"),
    ("send_signal", 202): lambda c, _: post(c, waiting(c), "signals/approval", {}),
    ("send_signal", 200): lambda c, _: signalled_with_key(c),
    ("send_signal", 409): lambda c, _: post(c, cancelled(c), "signals/approval", {}),
    ("fork_run", 202): lambda c, _: post(c, waiting(c), "fork"),
    ("fork_run", 409): lambda c, _: forked_unreadably(c),
    ("get_why", 200): lambda c, _: c.get(f"/runs/{waiting(c)}/why"),
    ("backtest", 200): lambda c, g: c.post(f"/graph/{g}/backtest", json={"runs": {"graph_id": g}}),
    ("run_data_quality", 202): lambda c, _: c.post("/demo/run_data_quality"),
    ("count_runs", 200): lambda c, _: c.get("/runs/counts"),
    ("act_on_runs", 200): lambda c, _: c.post(
        "/runs/actions", json={"action": "pause", "where": {"status": "paused"}, "dry_run": True}
    ),
    ("get_run", 200): lambda c, _: c.get(f"/runs/{waiting(c)}"),
    ("get_path", 200): lambda c, _: c.get(f"/runs/{waiting(c)}/path"),
    ("list_keys", 200): lambda c, _: read(c, "keys"),
    ("list_values", 200): lambda c, _: c.get(f"/runs/{waiting(c)}/keys/n"),
    ("list_files", 200): lambda c, _: read(c, "files"),
    ("list_signals", 200): lambda c, _: signals_of(c),
    ("get_schema", 200): lambda c, _: c.get("/schema/graph.json"),
    ("get_flowchart", 200): lambda c, g: c.get(f"/graph/{g}/mermaid"),
    ("begin_session", 204): lambda c, _: c.post("/session", json={"token": "TOKEN"}),
    ("end_session", 204): lambda c, _: c.delete("/session"),
    ("delete_run", 204): lambda c, _: c.delete(f"/runs/{over(c)}"),
    ("delete_run", 409): lambda c, _: c.delete(f"/runs/{waiting(c)}"),
    ("list_limits", 200): lambda c, _: c.get("/limits"),
    ("put_limit", 201): lambda c, _: c.put("/limits/new", json={"max": 1}),
    ("put_limit", 200): lambda c, _: [c.put("/limits/known", json={"max": 1}) for _ in "ab"][1],
    ("get_limit", 200): lambda c, _: [c.put("/limits/read", json={"max": 1}), c.get("/limits/read")][1],
    ("delete_limit", 204): lambda c, _: [c.put("/limits/gone", json={"max": 1}), c.delete("/limits/gone")][1],
    ("put_schedule", 201): lambda c, g: scheduled(c, g, "new"),
    ("put_schedule", 200): lambda c, g: [scheduled(c, g, "twice") for _ in "ab"][1],
    ("get_schedule", 200): lambda c, g: [scheduled(c, g, "read"), c.get("/schedules/read")][1],
    ("list_schedules", 200): lambda c, g: [scheduled(c, g, "listed"), c.get("/schedules")][1],
    ("pause_schedule", 202): lambda c, g: [scheduled(c, g, "paused"), c.post("/schedules/paused/pause")][1],
    ("resume_schedule", 202): lambda c, g: [scheduled(c, g, "resumed"), c.post("/schedules/resumed/resume")][1],
    ("trigger_schedule", 202): lambda c, g: [scheduled(c, g, "run"), c.post("/schedules/run/trigger")][1],
    ("delete_schedule", 204): lambda c, g: [scheduled(c, g, "gone"), c.delete("/schedules/gone")][1],
    ("list_deliveries", 200): lambda c, _: read(c, "deliveries"),
    ("prune_runs", 200): lambda c, _: c.post("/runs/prune", json={"older_than_s": 3600}),
    ("get_metrics", 200): lambda c, _: c.get("/metrics"),
    ("livez", 200): lambda c, _: c.get("/livez"),
    ("readyz", 200): lambda c, _: c.get("/readyz"),
}


def forked_unreadably(client: httpx.Client) -> httpx.Response:
    """The answer where the server may not read a file of the run: root may read all, so that it is only said here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forks, "copy_folder", Mock(side_effect=PermissionError(13, "Permission denied", "rows.txt")))
        return post(client, waiting(client), "fork")


def cancelled(client: httpx.Client) -> str:
    run_id = waiting(client)
    assert post(client, run_id, "cancel").status_code == 202
    return run_id


def without_lifespan(method: str, path: str) -> httpx.Response:
    """The answer of an application that nobody has started."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(UNSTARTED)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path)

    return asyncio.run(ask())
