"""A run's files: those that are its own, and nothing else of the disk."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest

from tests.support.api.harness import Server


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
