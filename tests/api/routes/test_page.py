"""The web page: its HTML for every view, its files, and the policy that keeps data from becoming script."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from service.api import ApiSettings
from tests.support.api.executing import refused
from tests.support.api.harness import serving

HTML = '<base href="{{base}}"><meta content="{{database}}"><script nonce="{{nonce}}"></script>'


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    (folder / "index.html").write_text(HTML)
    (folder / "lib").mkdir()
    (folder / "lib" / "api.js").write_text("export const a = 1;")
    (folder / "icon.svg").write_text("<svg/>")
    (folder / "README.md").write_text("readme")
    (folder.parent / "outside.js").write_text("outside")
    return folder


@pytest.fixture(scope="module")
def client(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with serving(tmp_path_factory.mktemp("served"), ApiSettings(page_folder=page)) as server, server.client() as found:
        yield found


@pytest.mark.parametrize(
    ("path", "base"),
    [
        ("/", "./"),
        ("/ui", "./"),
        ("/ui/", "../"),
        ("/ui/runs", "../"),
        ("/ui/runs/some-id?step=3", "../../"),
        ("/ui/graphs/a%2Fb", "../../"),
    ],
)
def test_every_view_gets_the_page_with_its_own_base(client: httpx.Client, path: str, base: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    nonce = re.search(r'nonce="([^"]+)"', answer.text)
    assert nonce is not None
    assert f'<base href="{base}"><meta content="rungraph.db">' in answer.text
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["script-src"] == f"'self' 'nonce-{nonce[1]}'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["default-src"] == "'none'"
    assert "http" not in answer.headers["content-security-policy"]
    other = client.get(path)
    assert nonce[1] not in other.text


def test_files_have_their_types_and_are_not_sniffed(client: httpx.Client) -> None:
    answer = client.get("/ui/lib/api.js")
    assert answer.text == "export const a = 1;"
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    again = client.get("/ui/lib/api.js", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/ui/icon.svg").headers["content-type"].startswith("image/svg+xml")
    assert client.head("/ui/icon.svg").status_code == 200


def test_nothing_else_is_served(client: httpx.Client) -> None:
    for path in ("/ui/lib/none.js", "/ui/%2e%2e/outside.js", "/ui/lib/..%2f..%2f../outside.js", "/ui/%00.js"):
        refused(client.get(path), 404)
    assert "readme" not in client.get("/ui/README.md").text
    refused(client.post("/"), 405)
    refused(client.put("/ui/runs"), 405)
    refused(client.delete("/ui/lib/api.js"), 405)


def test_a_server_without_the_page_says_so(tmp_path: Path) -> None:
    with serving(tmp_path, ApiSettings(page_folder=tmp_path / "none")) as bare, bare.client() as client:
        for path in ("/", "/ui/runs", "/ui/main.js"):
            refused(client.get(path), 404)


def test_the_page_works_below_a_prefix(page: Path, tmp_path: Path) -> None:
    def mounted(app: FastAPI) -> FastAPI:
        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            async with app.router.lifespan_context(app):
                yield

        outer = FastAPI(lifespan=lifespan)
        outer.mount("/some/path", app)
        return outer

    with serving(tmp_path, ApiSettings(page_folder=page), within=mounted) as server, server.client() as client:
        assert '<base href="../../">' in client.get("/some/path/ui/runs/x").text
        assert '<base href="./">' in client.get("/some/path/").text
        assert client.get("/some/path/ui/lib/api.js").text == "export const a = 1;"
        answer = client.post("/some/path/session", json={"token": "x"})
        assert answer.status_code == 204
