"""What a server that dies leaves of a run that was not started yet, and a server that can start no thread."""

from __future__ import annotations

import fcntl
import os
import threading
from typing import Any

import httpx
import pytest
from anyio import to_thread
from anyio._backends import _asyncio

from service.api import sweep
from service.api.folders.unfinished import MARKS_FOLDER, unfinished
from tests.support.api.harness import Server, eventually
from tests.support.rawsocket import connected

RUN_ID = "0190b0a4-2c6f-7abc-8def-0123456789ab"
CSV = (
    b"POST /demo/run_data_quality HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nContent-Length: 999\r\n\r\na"
)


def marks(server: Server) -> list[str]:
    return sorted(path.name for path in (server.runs_folder.parent / MARKS_FOLDER).glob("*"))


def leave(server: Server, run_id: str) -> None:
    """What a kill in the middle of an upload and of a fork leaves."""
    for name in (run_id, f".{run_id}"):
        (server.runs_folder / name / "deeper").mkdir(parents=True, exist_ok=True)
        (server.runs_folder / name / "upload.csv").write_text("a")
    folder = server.runs_folder.parent / MARKS_FOLDER
    folder.mkdir(exist_ok=True)
    (folder / run_id).touch()


def test_what_nobody_works_on_is_taken_away_at_the_start(server: Server, client: httpx.Client) -> None:
    there = server.start(client)
    leave(server, RUN_ID)
    leave(server, there)
    server.do(sweep(server.services.store, server.runs_folder))
    assert not (server.runs_folder / RUN_ID).exists()
    assert not (server.runs_folder / f".{RUN_ID}").exists()
    # A run that was started before the kill keeps its files.
    assert (server.runs_folder / there / "upload.csv").exists()
    assert marks(server) == []


def test_what_another_server_works_on_stays(server: Server) -> None:
    leave(server, RUN_ID)
    descriptor = os.open(server.runs_folder.parent / MARKS_FOLDER / RUN_ID, os.O_WRONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        server.do(sweep(server.services.store, server.runs_folder))
        assert (server.runs_folder / RUN_ID).exists()
    finally:
        os.close(descriptor)
    server.do(sweep(server.services.store, server.runs_folder))
    assert not (server.runs_folder / RUN_ID).exists()


def test_a_mark_that_is_removed_before_it_is_locked_is_made_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another server may start in between. Without its mark, the next server to start would remove the folder."""
    lock, has_started = fcntl.flock, threading.Event()

    def start_first(descriptor: int, how: int) -> None:
        if not has_started.is_set():
            has_started.set()
            server.do(sweep(server.services.store, server.runs_folder))
            assert marks(server) == []
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", start_first)
    with unfinished(server.runs_folder, RUN_ID):
        leave(server, RUN_ID)
        server.do(sweep(server.services.store, server.runs_folder))
        assert (server.runs_folder / RUN_ID).exists()
        assert marks(server) == [RUN_ID]
    server.do(sweep(server.services.store, server.runs_folder))
    assert marks(server) == []


def test_an_upload_has_a_mark_as_long_as_it_goes_on(server: Server, client: httpx.Client) -> None:
    with connected(server.port) as raw:
        raw.sendall(CSV)
        (mark,) = eventually(lambda: marks(server))
        eventually((server.runs_folder / mark / "upload.csv").exists)
        server.do(sweep(server.services.store, server.runs_folder))
        assert (server.runs_folder / mark / "upload.csv").exists()
    eventually(lambda: not marks(server) and not (server.runs_folder / mark).exists())
    for sent in (
        {"content": b""},
        {"json": {"rows": [{"a": 1}]}},
        {"content": b"a\n1\n", "headers": {"Content-Type": "text/csv"}},
    ):
        given: Any = sent
        answer = client.post("/demo/run_data_quality", **given)
        assert answer.status_code == 202
        assert client.post(f"/runs/{answer.json()['run_id']}/fork").status_code == 202
    assert client.post("/demo/run_data_quality", json={"rows": []}).status_code == 422
    assert marks(server) == []


def test_where_no_thread_can_start_calls_are_503_and_leave_nothing(
    server: Server, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = server.start(client)
    before, tables = sorted(server.runs_folder.glob("*")), server.tables()

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def forget_threads() -> None:
        """anyio keeps threads that are idle."""
        await to_thread.run_sync(int)
        _asyncio._threadpool_idle_workers.get().clear()

    server.do(forget_threads())
    monkeypatch.setattr("anyio._backends._asyncio.WorkerThread.start", refuse)
    csv = {"Content-Type": "text/csv"}
    for answer in (
        client.post("/demo/run_data_quality", content=b"a\n1\n", headers=csv),
        client.post("/demo/run_data_quality", json={"rows": [{"a": 1}]}),
        client.post(f"/runs/{run_id}/fork", json={"node": "a"}),
        client.get(f"/runs/{run_id}/files/rows.csv"),
        client.get("/docs/assets/swagger-ui.css"),
    ):
        assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json"), answer.text
        assert "threads" in answer.json()["detail"]
    assert (sorted(server.runs_folder.glob("*")), server.tables()) == (before, tables)
