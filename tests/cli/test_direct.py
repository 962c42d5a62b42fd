"""A command that only reads answers from the database as the application would, and without building it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from service.cli import direct, within
from service.cli.direct import _answer, _reader_of, reading
from service.client import calls
from service.settings import Settings
from service.store.database.opening import database_at
from service.store.database.sqlite.connections import Sqlite
from service.store.reading import Reading
from service.store.schema.migrate import migrate
from tests.support.store.carrying import APPROVAL, BOOM, LEAF, SINGLE_CHILD, begun, carry, claim, parked, rest
from tests.support.store.harness import opened, start
from tests.support.system.commands import rungraph

RUN, CHILD_OF, FAILED, TAGGED = (f"00000000-0000-7000-8000-00000000000{number}" for number in range(4))
NOBODY = "00000000-0000-7000-8000-00000000000f"


@pytest.fixture
async def database(tmp_path: Path) -> Sqlite:
    database = Sqlite(tmp_path / "rungraph.db")
    migrate(database)
    async with opened(database) as store:
        await parked(store, RUN, APPROVAL)
        await parked(store, CHILD_OF, SINGLE_CHILD, LEAF)
        failing = await begun(store, FAILED, LEAF)
        await carry(store, failing, BOOM)
        await start(store, TAGGED, LEAF, tags={"k": "v", "ä": "ö"})
        await rest(store, await claim(store, TAGGED))
    return database


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("/runs", {"limit": 2}),
    ("/runs", {"limit": 1000, "status": ["failed", "waiting"]}),
    ("/runs", {"limit": 10, "tag": ["k:v", "!a:b"]}),
    ("/runs", {"limit": 10, "parent_id": CHILD_OF}),
    ("/runs", {"limit": 10, "parent_id": "none", "graph_id": LEAF.id}),
    ("/runs", {"limit": 10, "graph": "no such"}),
    ("/runs", {"limit": 10, "status": "failed", "tag": "!k:v"}),
    ("/runs", {"limit": 10, "id_prefix": "0000", "waiting_for": "signal", "created_after": "2020-01-01"}),
    ("/graphs", {"limit": 1}),
    (f"/runs/{TAGGED}/state", {}),
    (f"/runs/{TAGGED}/logs", {"limit": 1}),
    (f"/runs/{TAGGED}/logs", {"limit": 10, "after_seq": 1}),
    (f"/graph/state/{FAILED}", {"limit": 1}),
    (f"/runs/{TAGGED}/state", {"step": 0}),
    (f"/runs/{TAGGED}/steps", {"after_step": 0, "limit": 10}),
    (f"/graph/{LEAF.id}", {}),
    *((f"/runs/{run_id}/why", {}) for run_id in (RUN, CHILD_OF, FAILED, TAGGED)),
]
LEFT_TO_THE_APPLICATION: list[tuple[str, dict[str, Any]]] = [
    ("/runs", {"limit": 0}),
    ("/runs", {"limit": 10, "status": ["odd"]}),
    ("/runs", {"limit": 10, "tag": ["no colon"]}),
    ("/runs", {"limit": 10, "parent_id": NOBODY}),
    ("/runs", {"limit": 10, "parent_id": "odd"}),
    ("/runs", {"limit": 10, "id_prefix": "odd"}),
    ("/runs", {"limit": 10, "waiting_for": "odd"}),
    ("/runs", {"limit": 10, "tag": ["k:v"] * 21}),
    ("/runs", {"limit": 10, "odd": "x"}),
    ("/runs", {"limit": 10, "cursor": "odd"}),
    ("/graphs", {"limit": 10, "cursor": "odd"}),
    (f"/runs/{NOBODY}/why", {}),
    (f"/runs/{RUN}/state", {"step": 99}),
    (f"/graph/{NOBODY}", {}),
    ("/tools", {}),
]


def without_durations(answer: str) -> str:
    """Those of runs that are not over go on between two calls."""
    return re.sub(r'"duration_ms":\d+,"children"', '"children"', answer)


async def test_answers_are_those_of_the_application(database: Sqlite) -> None:
    store, app = Reading(database), _reader_of(Settings(), database, ())
    async with app.router.lifespan_context(app):
        for path, params in CALLS:
            expected = await within.call(app, calls.get(path, **params), token={})
            assert expected.status == 200, (path, params)
            found = await _answer(store, path, params) or ""
            assert without_durations(found) == without_durations(expected.body.decode()), (path, params)
    for path, params in LEFT_TO_THE_APPLICATION:
        assert await _answer(store, path, params) is None, (path, params)
    await store.close()


async def test_what_is_unusual_is_asked_of_an_application_that_is_built_once(
    database: Sqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[object] = []

    def build(*given: Any) -> Any:
        built.append(given)
        return _reader_of(*given)

    monkeypatch.setattr(direct, "_reader_of", build)
    async with reading(Settings(), database, ()) as call:
        assert (await call(calls.get("/runs", limit=1))).status == 200
        assert built == []
        assert (await call(calls.why(NOBODY))).status == 404
        assert (await call(calls.get("/runs", limit=0))).status == 422
    assert len(built) == 1


async def test_a_backtest_is_made_while_a_command_without_http_owns_the_database(database: Sqlite) -> None:
    """It changes nothing, so it needs no lock."""
    ownership = database.own("rungraph run")
    asked = await asyncio.to_thread(rungraph, database.file.parent, "backtest", LEAF.id, "--runs", LEAF.id, "--json")
    ownership.release()
    assert (asked.returncode, asked.stderr) == (0, "")
    assert json.loads(asked.stdout)["diverging_runs"] == 0


async def imports_of(folder: Path, *arguments: str) -> tuple[str, set[str]]:
    """Run a command in a process of its own. Return what it printed, and the names of the modules it imported."""
    program = "import sys; from service.cli.main import run_command; run_command(); print(*sys.modules)"
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("RUNGRAPH_")},
        capture_output=True,
        text=True,
        check=True,
    )
    *printed, modules = done.stdout.splitlines()
    return "\n".join([*printed, done.stderr]), set(modules.split())


FRAMEWORKS = {
    "mcp",
    "fastapi",
    "starlette",
    "pydantic",
    "alembic",
    "duckdb",
    "uvicorn",
    "sqlalchemy.dialects.postgresql",
}
"""Each of these takes longer to import than all else that a reading command does."""


async def test_a_listing_imports_no_framework_and_nothing_that_writes(database: Sqlite) -> None:
    printed, imported = await imports_of(database.file.parent, "runs")
    assert RUN in printed
    assert "service.store.reading" in imported
    needless = {
        "httpx",
        "service.api.app",
        "service.cli.held",
        "service.cli.within",
        "service.client.client",
        "service.client.connections",
        "service.core.graph",
        "service.core.tool",
        "service.store.commands",
        "service.store.database.writing.writer",
        "service.store.queries.graphs",
        "service.store.queries.runs.prunable",
    }
    assert not imported & (FRAMEWORKS | needless)


@pytest.mark.parametrize("command", [["runs"], ["why", RUN]])
async def test_a_command_that_asks_a_server_imports_no_database(tmp_path: Path, command: list[str]) -> None:
    printed, imported = await imports_of(tmp_path, *command, "--url", "http://127.0.0.1:1")
    assert "http://127.0.0.1:1" in printed
    assert "httpx" in imported
    assert not imported & (FRAMEWORKS | {"sqlalchemy", "service.store.database", "service.api", "service.core.graph"})


async def test_the_owner_of_a_file_is_asked_without_importing_sqlalchemy(database: Sqlite) -> None:
    lock = database.own("http://127.0.0.1:1")
    try:
        printed, imported = await imports_of(database.file.parent, "runs")
    finally:
        lock.release()
    assert "http://127.0.0.1:1" in printed
    assert not imported & (FRAMEWORKS | {"sqlalchemy"})


@pytest.mark.parametrize("ending", ["/a.db", "a b/ü.db", "./%41#.db", "/a:b.db"])
@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+aiosqlite"])
def test_the_usual_urls_of_files_mean_what_sqlalchemy_takes_them_for(scheme: str, ending: str) -> None:
    url = f"{scheme}:///{ending}"
    expected = make_url(url).database
    assert expected is not None
    assert database_at(url).name == str(Path(expected).absolute().resolve())


async def test_a_database_that_cannot_be_read_is_told_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "odd.db").write_text("this is no database, but a text that is long enough for a header\n" * 2)
    async with reading(Settings(), Sqlite(tmp_path / "odd.db"), ()) as call:
        answer = await call(calls.get("/runs", limit=1))
    assert (answer.status, answer.body) == (503, b'{"detail":"the database cannot be read: file is not a database"}')
    assert caplog.messages == []


async def test_the_operator_learns_why_a_database_server_cannot_be_read() -> None:
    pytest.importorskip("psycopg")
    database = database_at("postgresql://nobody@127.0.0.1:1/none")
    async with reading(Settings(), database, ()) as call:
        answer = await call(calls.get("/runs", limit=1))
    assert answer.status == 503
    assert re.fullmatch(r'{"detail":"the database cannot be read: [^\n]*127.0.0.1[^\n]*"}', answer.body.decode())
