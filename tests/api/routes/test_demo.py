"""The example at one call: its sources, and what a refusal leaves behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api import ApiSettings
from service.core.errors import Unavailable
from tests.support.api.harness import Server, serving

URL = "/demo/run_data_quality"
CSV = {"content-type": "text/csv; charset=utf-8"}


def started(server: Server, client: httpx.Client, answer: httpx.Response) -> tuple[dict[str, Any], Path]:
    """The state that a run starts with, and its folder."""
    assert answer.status_code == 202, answer.text
    run_id = answer.json()["run_id"]
    assert answer.headers["location"] == f"/graph/state/{run_id}"
    state: dict[str, Any] = client.get(f"/graph/state/{run_id}").json()["state"]
    return state, server.runs_folder / run_id


@pytest.mark.parametrize(
    ("query", "body", "name", "threshold"),
    [
        ("", b"", "planes", 0),
        ("?threshold=3", b"", "planes", 3),
        ("?threshold=0.25", b"{}", "planes", 0.25),
        ("", b"{}", "planes", 0),
        ("", b'{"dataset": "flights"}', "flights", 0),
        ("", b'{"dataset": "planes", "threshold": 1.5}', "planes", 1.5),
        ("", b'{"threshold": 18446744073709551617}', "planes", 18446744073709551617),
    ],
)
def test_a_bundled_data_set(
    server: Server, client: httpx.Client, query: str, body: bytes, name: str, threshold: float
) -> None:
    state, folder = started(server, client, client.post(URL + query, content=body))
    source = {"kind": "dataset", "name": name}
    assert state == {"source": source, "threshold": threshold, "mode": "mend", "allow": [], "keep": []}
    assert not folder.exists()


def test_rows(server: Server, client: httpx.Client) -> None:
    rows = [{"a": 2**70, "b": "☃"}, {"a": None, "c": [0.1]}]
    state, folder = started(server, client, client.post(URL, json={"rows": rows, "threshold": 2}))
    assert state["source"] == {"kind": "rows", "file": "upload.json"}
    assert state["threshold"] == 2
    assert json.loads((folder / "upload.json").read_bytes()) == rows


def test_a_csv_file_is_streamed_to_disk(server: Server, client: httpx.Client) -> None:
    lines = [b"a,b\n", *(b"1,%d\n" % n * 1000 for n in range(500))]

    def pieces() -> Iterator[bytes]:
        yield from lines

    state, folder = started(server, client, client.post(f"{URL}?threshold=1", content=pieces(), headers=CSV))
    assert state == {
        "source": {"kind": "csv", "file": "upload.csv"},
        "threshold": 1,
        "options": {"encoding": "utf-8"},
    }
    assert (folder / "upload.csv").read_bytes() == b"".join(lines)
    assert len(b"".join(lines)) > 2**20


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("?mode=report&allow=fill&allow=outliers&keep=a&keep=b", b"{}"),
        ("", b'{"mode": "report", "allow": ["fill", "outliers"], "keep": ["a", "b"]}'),
        ("?mode=report&keep=a&keep=b", b'{"allow": ["fill", "outliers"]}'),
    ],
)
def test_what_is_asked_for_comes_in_the_body_or_in_the_query(
    server: Server, client: httpx.Client, query: str, body: bytes
) -> None:
    state, _ = started(server, client, client.post(URL + query, content=body))
    assert (state["mode"], state["allow"], state["keep"]) == ("report", ["fill", "outliers"], ["a", "b"])


@pytest.mark.parametrize(
    ("query", "content_type", "options"),
    [
        ("", "text/csv", {}),
        ("", "text/csv; charset=windows-1252", {"encoding": "windows-1252"}),
        ("?encoding=latin-1", "text/csv; charset=utf-8", {"encoding": "latin-1"}),
        (
            "?delimiter=%3B&quote=&header=false&skip=3",
            "text/csv",
            {"delimiter": ";", "quote": "", "header": False, "skip": 3},
        ),
        ("?header=true&delimiter=tab", "text/csv", {"header": True, "delimiter": "tab"}),
    ],
)
def test_the_options_of_a_csv_file(
    server: Server, client: httpx.Client, query: str, content_type: str, options: dict[str, Any]
) -> None:
    answer = client.post(URL + query, content=b"a\n1\n", headers={"content-type": content_type})
    state, _ = started(server, client, answer)
    assert state["options"] == options


@pytest.mark.parametrize(
    ("query", "body", "headers", "status", "pointer"),
    [
        ("", b"[]", {}, 422, ""),
        ("", b"null", {}, 422, ""),
        ("", b"{", {}, 400, None),
        ("", b" ", {}, 400, None),
        ("", b'{"rows": []}', {}, 422, "/rows"),
        ("", b'{"rows": null}', {}, 422, "/rows"),
        ("", b'{"rows": {"a": 1}}', {}, 422, "/rows"),
        ("", b'{"rows": [{}, 1]}', {}, 422, "/rows/1"),
        ("", b'{"rows": [[]]}', {}, 422, "/rows/0"),
        ("", b'{"rows": [{"a": "\\u0000"}]}', {}, 422, "/rows/0/a"),
        ("", b'{"rows": [{}], "dataset": "planes"}', {}, 422, "/rows"),
        ("", b'{"dataset": "plane"}', {}, 422, "/dataset"),
        ("", b'{"dataset": null}', {}, 422, "/dataset"),
        ("", b'{"dataset": "../../etc/passwd"}', {}, 422, "/dataset"),
        ("", b'{"url": "http://example.org"}', {}, 422, "/url"),
        ("", b'{"threshold": -1}', {}, 422, "/threshold"),
        ("", b'{"threshold": "1"}', {}, 422, "/threshold"),
        ("", b'{"threshold": true}', {}, 422, "/threshold"),
        ("", b'{"threshold": null}', {}, 422, "/threshold"),
        ("?threshold=1", b'{"threshold": 1}', {}, 422, "/threshold"),
        ("?threshold=-1", b"", {}, 422, "/threshold"),
        ("?threshold=nan", b"", {}, 422, "/threshold"),
        ("?threshold=1e3", b"a\n1\n", CSV, 422, "/threshold"),
        ("?treshold=1", b"a\n1\n", CSV, 422, "/treshold"),
        ("", b"", CSV, 422, ""),
        ("?mode=wrong", b"a\n1\n", CSV, 422, "/mode"),
        ("?mode=mend&mode=report", b"a\n1\n", CSV, 422, "/mode"),
        ("?delimiter=wrong", b"a\n1\n", CSV, 422, "/delimiter"),
        ("?header=wrong", b"a\n1\n", CSV, 422, "/header"),
        ("?skip=-1", b"a\n1\n", CSV, 422, "/skip"),
        ("?skip=x", b"a\n1\n", CSV, 422, "/skip"),
        ("", b"a\n1\n", {"content-type": "text/csv; charset=wrong"}, 422, "/encoding"),
        ("?delimiter=%3B", b"{}", {}, 422, "/delimiter"),
        ("?quote=", b"", {}, 422, "/quote"),
        ("?mode=report", b'{"mode": "mend"}', {}, 422, "/mode"),
        ("?allow=fill", b'{"allow": []}', {}, 422, "/allow"),
        ("", b'{"mode": "repair"}', {}, 422, "/mode"),
        ("", b'{"mode": null}', {}, 422, "/mode"),
        ("", b'{"allow": "fill"}', {}, 422, "/allow"),
        ("", b'{"allow": ["fill", "all"]}', {}, 422, "/allow/1"),
        ("?allow=all", b"", {}, 422, "/allow/0"),
        ("", b'{"keep": [1]}', {}, 422, "/keep/0"),
        ("", b'{"rows": [{"a": 1}], "keep": ["a", "b"]}', {}, 422, "/keep/1"),
        ("", b"a\n1\n", {"content-type": "text/plain"}, 415, None),
        ("", b"PK", {"content-type": "application/zip"}, 415, None),
    ],
)
def test_a_refused_call_leaves_nothing(
    server: Server,
    client: httpx.Client,
    query: str,
    body: bytes,
    headers: dict[str, str],
    status: int,
    pointer: str | None,
) -> None:
    before = server.tables(), list(server.runs_folder.glob("*"))
    answer = client.post(URL + query, content=body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    faults = answer.json().get("errors", [])
    assert [fault["pointer"] for fault in faults] == ([] if pointer is None else [pointer])
    assert (server.tables(), list(server.runs_folder.glob("*"))) == before


@pytest.mark.parametrize("announced", [True, False])
def test_an_upload_above_the_limit_is_413_and_leaves_nothing(tmp_path: Path, announced: bool) -> None:
    body = b"a\n" + b"1\n" * 5000
    with serving(tmp_path, ApiSettings(upload_bytes_max=1000)) as server, server.client() as client:
        content = body if announced else iter([body[:500], body[500:]])
        answer = client.post(URL, content=content, headers=CSV)
        assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
        assert not list(server.runs_folder.glob("*"))


def test_a_disk_that_takes_nothing_is_503(tmp_path: Path) -> None:
    with serving(tmp_path) as server, server.client() as client:
        server.runs_folder.write_text("no folder")
        answer = client.post(URL, content=b"a\n1\n", headers=CSV)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert client.get("/runs").json()["items"] == []


def test_a_start_of_unknown_outcome_leaves_the_files_that_its_run_needs(
    server: Server, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = server.services.store.runs.start

    async def start_and_be_cut_off(*arguments: Any, **options: Any) -> None:
        await start(*arguments, **options)
        raise Unavailable("the database does not answer")

    monkeypatch.setattr(server.services.store.runs, "start", start_and_be_cut_off)
    assert client.post(URL, content=b"a,b\n1,2\n", headers=CSV).status_code == 503
    (run,) = client.get("/runs?limit=1").json()["items"]
    assert (server.runs_folder / run["run_id"] / "upload.csv").read_bytes() == b"a,b\n1,2\n"


@pytest.mark.parametrize(
    "parameters", ["charset*=a; charset*0=b", f"charset*{'9' * 5000}=x", "charset*0*=%zz''; charset*1=x", 'charset="']
)
def test_a_content_type_that_cannot_be_read_is_no_fault_of_the_server(client: httpx.Client, parameters: str) -> None:
    answer = client.post(URL, content=b"a,b\n1,2\n", headers={"content-type": f"text/csv; {parameters}"})
    assert answer.status_code in (202, 422), answer.text
