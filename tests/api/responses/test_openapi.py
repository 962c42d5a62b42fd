"""The OpenAPI document: stable names, and true of the server that serves it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest import mock

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case, HookContext
from schemathesis.config import SchemathesisConfig
from schemathesis.generation.meta import CoveragePhaseData
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from service.api import ApiSettings, create_api
from service.core import codec
from tests.support.api.harness import Server, no_lifespan
from tests.support.profile import LONG, repeat

OPERATIONS = {
    "create_graph",
    "get_graph",
    "list_graphs",
    "start_run",
    "get_schema",
    "get_state",
    "list_runs",
    "list_steps",
    "get_state_at",
    "list_lines",
    "stream_events",
    "get_file",
    "list_tools",
    "cancel_run",
    "pause_run",
    "resume_run",
    "send_signal",
    "fork_run",
    "get_why",
    "backtest",
    "run_data_quality",
    "livez",
    "readyz",
    "begin_session",
    "end_session",
    "delete_run",
    "list_limits",
    "get_limit",
    "put_limit",
    "delete_limit",
    "prune_runs",
    "get_metrics",
    "count_runs",
    "act_on_runs",
    "get_run",
    "get_path",
    "list_keys",
    "list_values",
    "list_files",
    "list_signals",
    "get_flowchart",
    "put_schedule",
    "list_schedules",
    "get_schedule",
    "delete_schedule",
    "pause_schedule",
    "resume_schedule",
    "trigger_schedule",
    "list_deliveries",
}


@pytest.fixture(scope="module")
def document(client: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def test_operation_ids_are_stable(document: dict[str, Any]) -> None:
    found = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert sorted(found) == sorted(OPERATIONS)


def test_every_refusal_is_a_problem(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            refusals = {code: answer for code, answer in operation["responses"].items() if code[0] in "45"}
            # No token is asked for at /livez.
            assert {"400", "403", "422", "503"} | (set() if path == "/livez" else {"401"}) <= refusals.keys()
            assert all(list(answer["content"]) == ["application/problem+json"] for answer in refusals.values())


def test_bodies_have_examples(document: dict[str, Any]) -> None:
    bodies = [
        operation["requestBody"]
        for path in document["paths"].values()
        for operation in path.values()
        if "requestBody" in operation
    ]
    assert len(bodies) == 12
    assert all(media["examples"] for body in bodies for media in body["content"].values())


@pytest.fixture
def described(request: pytest.FixtureRequest) -> Any:
    vars(request.node)["_nodeid"] = request.node.nodeid  # schemathesis 4.32 expects this of pytest before 9.
    config = None if LONG else SchemathesisConfig.from_dict(BRIEF)
    found = schemathesis.openapi.from_dict(create_api(ApiSettings(), no_lifespan).openapi(), config=config)
    if not LONG:
        found.hook("filter_case")(Sample(KIND_MAX))
    return found


BRIEF: dict[str, Any] = {
    "phases": {"examples": {"enabled": False}},
    "operations": [{"include-operation-id": "create_graph", "phases": {"coverage": {"enabled": False}}}],
}
"""The phases of an ordinary run. `test_described` sends all examples of bodies, and the systematic cases of the
document of a graph take half of the time; `test_graph_schema` holds its schema against the code."""
KIND_MAX = 2
"""Cases of one kind for each operation, in an ordinary run. POST /graph/create has some thousand wrong types."""


class Sample:
    """A filter that lets through the first `count` of each operation's systematic cases of a kind."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._taken: Counter[tuple[str, Any, Any]] = Counter()

    def __call__(self, _context: HookContext, case: Case[Any]) -> bool:
        if case.meta is None or not isinstance(case.meta.phase.data, CoveragePhaseData):
            return True
        data = case.meta.phase.data
        kind = (case.operation.label, data.scenario, data.parameter_location)
        self._taken[kind] += 1
        return self._taken[kind] <= self._count


# The cases are made when the test begins: every process of the tests would make them all if they were collected.
schema = schemathesis.pytest.from_fixture("described")


def test_the_document_served_is_the_one_that_is_tested(document: dict[str, Any], described: Any) -> None:
    assert described.raw_schema == document


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """One connection for all calls, which otherwise take most of their time to connect."""
    with requests.Session() as found:
        found.trust_env = False
        yield found


@schema.parametrize()
@settings(max_examples=repeat(2, 20), suppress_health_check=list(HealthCheck), derandomize=True)
def test_the_server_is_as_described(server: Server, session: requests.Session, case: Case[Any]) -> None:
    response = case.call(base_url=server.url, session=session, timeout=60)
    # A graph that names an unknown tool is well-formed, and refused.
    excluded: list[Any] = [positive_data_acceptance]
    if response.status_code in (414, 431):
        excluded.append(negative_data_rejection)  # Refused for its length, and only 400 and the like are expected.
    case.validate_response(response, excluded_checks=excluded)


@pytest.mark.parametrize("path", ["/openapi.json", "/schema/graph.json"])
def test_a_large_document_is_written_once(client: httpx.Client, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that ask for it all the time would otherwise keep the loop from everybody else's calls."""
    before = client.get(path)
    encode = mock.Mock(wraps=codec.encode)
    monkeypatch.setattr(codec, "encode", encode)
    assert client.get(path).content == before.content
    assert encode.call_count < 20
