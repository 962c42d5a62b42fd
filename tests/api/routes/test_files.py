"""A run's files: those that are its own, and nothing else of the disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api.routes.runs.files import WholeFile
from service.core.errors import NotFound
from tests.support.api.harness import Server


async def receive() -> Any:
    raise AssertionError("a download reads no body")


@pytest.fixture
def folder(server: Server, client: httpx.Client) -> Path:
    made = server.runs_folder / server.start(client)
    made.mkdir(parents=True)
    return made


def test_a_file_is_handed_out_as_a_download(client: httpx.Client, folder: Path) -> None:
    (folder / "cleaned.csv").write_bytes(b"a,b\n1,2\n")
    answer = client.get(f"/runs/{folder.name}/files/cleaned.csv", headers={"Range": "bytes=0-1, nonsense"})
    assert (answer.status_code, answer.content) == (200, b"a,b\n1,2\n")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == 'attachment; filename="cleaned.csv"'


def test_a_large_file_comes_whole(client: httpx.Client, folder: Path) -> None:
    content = os.urandom(3 * 2**20)
    (folder / "tab le ☃.parquet").write_bytes(content)
    answer = client.get(f"/runs/{folder.name}/files/tab le ☃.parquet")
    assert answer.content == content
    assert answer.headers["content-type"] == "application/octet-stream"


async def test_a_file_that_grows_comes_as_it_was_measured(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"first")
    answer = WholeFile(path, stat_result=path.stat())
    with path.open("ab") as file:
        file.write(b", second")
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await answer({"type": "http", "method": "GET"}, receive, send)
    assert (b"content-length", b"5") in sent[0]["headers"]
    assert b"".join(message["body"] for message in sent[1:]) == b"first"
    assert not sent[-1]["more_body"]


async def test_a_file_that_cannot_be_opened_is_not_found(tmp_path: Path) -> None:
    path = tmp_path / "gone.txt"
    path.write_bytes(b"gone")
    answer = WholeFile(path, filename=path.name, stat_result=path.stat())
    path.unlink()

    async def send(message: Any) -> None:
        raise AssertionError(message)

    with pytest.raises(NotFound, match=r"gone\.txt"):
        await answer({"type": "http", "method": "GET"}, receive, send)


def test_an_html_file_is_no_page(client: httpx.Client, folder: Path) -> None:
    (folder / "page.html").write_text("<script>alert(1)</script>")
    assert client.get(f"/runs/{folder.name}/files/page.html").headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize(
    "name",
    [
        "missing.csv",
        ".hidden",
        "%2e%2e",
        "..%2f..%2frungraph.db",
        "%2fetc%2fpasswd",
        "..%5crungraph.db",
        "inner",
        "inner%2ffile.csv",
        "link.csv",
        "a%00b",
        "x" * 300,
        "pipe",
    ],
)
def test_nothing_else_is(client: httpx.Client, folder: Path, name: str) -> None:
    (folder / ".hidden").write_text("x")
    (folder / "inner").mkdir()
    (folder / "inner" / "file.csv").write_text("x")
    (folder / "link.csv").symlink_to(folder / ".hidden")
    os.mkfifo(folder / "pipe")
    answer = client.get(f"/runs/{folder.name}/files/{name}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_a_folder_without_a_run_is_not_served(server: Server, client: httpx.Client) -> None:
    run_id = "0190b0a4-2c6f-7abc-8def-0123456789ab"
    (server.runs_folder / run_id).mkdir(parents=True)
    (server.runs_folder / run_id / "x.csv").write_text("x")
    assert client.get(f"/runs/{run_id}/files/x.csv").status_code == 404
