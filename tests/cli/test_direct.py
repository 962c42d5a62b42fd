"""A command that only reads answers from the database as the application would, and without building it."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.cli import direct, within
from service.cli.direct import _answer, _reader_of, reading
from service.client import calls
from service.settings import Settings
from service.store.database.sqlite.connections import Sqlite
from service.store.reading import Reading
from service.store.schema.migrate import migrate
from tests.support.store.carrying import APPROVAL, BOOM, LEAF, SINGLE_CHILD, begun, carry, claim, parked, rest
from tests.support.store.harness import opened, start

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
    async with reading(Settings(), database, {}, ()) as call:
        assert (await call(calls.get("/runs", limit=1))).status == 200
        assert built == []
        assert (await call(calls.why(NOBODY))).status == 404
        assert (await call(calls.get("/runs", limit=0))).status == 422
    assert len(built) == 1


async def test_a_listing_imports_neither_the_framework_nor_the_types_of_graphs(database: Sqlite) -> None:
    """These take longer to import than all else that `rungraph runs` does."""
    program = "import sys; sys.argv[:] = ['rungraph', 'runs']; from service.cli import main; main()"
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-X", "importtime", "-c", program],
        cwd=database.file.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert RUN in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "service.store.reading" in imported
    heavy = {
        "mcp",
        "fastapi",
        "starlette",
        "pydantic",
        "httpx",
        "sqlalchemy.dialects.postgresql",
        "service.store.commands",
    }
    assert not imported & heavy
