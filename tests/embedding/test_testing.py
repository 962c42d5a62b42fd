"""The server for tests of programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from rungraph.testing import LocalServer, rungraph_server, server
from service.core.errors import StartRefused
from service.core.tool import JsonObject

__all__ = ["rungraph_server"]


def double(state: JsonObject) -> JsonObject:
    return {"n": 2 * state["n"]}


GRAPH = {"start_node": "a", "nodes": {"a": "double"}}


def test_a_fixture_serves(rungraph_server: LocalServer, tmp_path: Path) -> None:
    assert "profile_table" in [tool["name"] for tool in rungraph_server.client.tools()]
    assert (tmp_path / "rungraph.db").exists()


def test_a_server_has_the_given_tools_and_is_gone_afterwards() -> None:
    with server(tools=[double], api_token="t") as found:
        run_id = found.client.start(GRAPH, {"n": 4})
        assert found.client.wait(run_id, 60)["state"] == {"n": 8}
        lines = found.client.lines(found.client.start({"start_node": "a", "nodes": {"a": {"signal": "s"}}}))
        assert next(lines)["event"] == "run_started"  # An open stream does not delay the end.
        with pytest.raises(StartRefused), server(found.folder, tools=[double]):
            pass
    assert not found.folder.exists()
    with pytest.raises(RuntimeError, match="closed"):
        list(lines)
