"""Paths that are none: each is a 404 that names the call that was meant, if one is near."""

from __future__ import annotations

import httpx
import pytest

RUN = "0190b0a4-2c6f-7abc-8def-0123456789ab"


@pytest.mark.parametrize(
    ("method", "path", "meant"),
    [
        ("GET", f"/runs/{RUN}/", f"GET /runs/{RUN}"),
        ("GET", f"/run/{RUN}", f"GET /runs/{RUN}"),
        ("GET", f"/runs/{RUN}/log", f"GET /runs/{RUN}/logs"),
        ("POST", f"/runs/{RUN}/canncel", f"POST /runs/{RUN}/cancel"),
        ("POST", f"/runs/{RUN}/signal/go", f"POST /runs/{RUN}/signals/go"),
        ("GET", "/runs/", "GET /runs"),
        ("GET", "/Graphs", "GET /graphs"),
        ("GET", "/run", "GET /runs"),
        ("GET", f"/graphs/{'0' * 32}", f"GET /graph/{'0' * 32}"),
        ("POST", f"/graph/{'0' * 32}/run", "POST /graph/run"),
        ("POST", "/graph", "POST /graph/create"),
        ("GET", "/healthz", "GET /livez"),
        ("GET", "/doc", "GET /docs"),
    ],
)
def test_the_nearest_call_is_named(client: httpx.Client, method: str, path: str, meant: str) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["detail"] == f"there is nothing at {path!r}; did you mean {meant}?"


@pytest.mark.parametrize("path", ["/nothing", "/admin/login.php", "/a/b/c/d/e/f/g/h", "/" + "x" * 5000, "/%00", "/☃"])
def test_where_none_is_near_the_document_is(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["detail"].endswith("; see /docs for the calls")
    assert len(answer.json()["detail"]) < 400
