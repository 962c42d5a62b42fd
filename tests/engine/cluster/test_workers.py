"""Which workers are used: how they are checked as they come and go, and what follows when one refuses a call."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from service.core.moves import CallTool, Failed, Succeeded
from service.engine.cluster.call import ClusterCall, Released
from service.engine.cluster.link import PAUSE_S_MIN, ClusterLink
from service.engine.cluster.messages import Ended, Request, Unfit
from service.engine.cluster.session import Session
from service.engine.cluster.settings import ClusterSettings
from service.engine.cluster.versions import versions_here
from service.engine.cluster.workers import CHECKS_MAX, Workers
from service.engine.lines import LineBuffer
from service.engine.ways.on_cluster import OnCluster
from tests.support.engine.calls import DEADLINE_S, Calls, in_calls
from tests.support.engine.cluster import Dask, linked

SEAT: dict[str, int | float] = {"seat": 1}


class Scheduler:
    """Answers as Dask's would, of workers that fit; those in `silent` do not answer until `speak` is set."""

    def __init__(self, *workers: str) -> None:
        self.workers = workers
        self.silent: set[str] = set()
        self.speak = asyncio.Event()

    async def identity(self) -> dict[str, Any]:
        return {"workers": dict.fromkeys(self.workers)}

    async def broadcast(self, *, workers: list[str], **_: Any) -> dict[str, Any]:
        if self.silent.intersection(workers):
            await self.speak.wait()
        ours = versions_here()
        return {worker: {"packages": {**ours, "python": f"{ours['python']}.0.final.0"}} for worker in workers}


def watched(scheduler: Scheduler) -> tuple[Workers, asyncio.Queue[str]]:
    come: asyncio.Queue[str] = asyncio.Queue()
    client: Any = SimpleNamespace(scheduler=scheduler)
    return Workers(client, "the cluster", lambda: None, come.put), come


def test_workers_that_do_not_answer_hold_up_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.engine.cluster.workers.CHECK_S", 0.02)

    async def script() -> None:
        scheduler = Scheduler("first")
        workers, come = watched(scheduler)
        await workers.begin()
        assert await come.get() == "first"
        scheduler.silent = {f"silent {number}" for number in range(CHECKS_MAX)}
        for worker in (*scheduler.silent, "second"):
            workers.add(worker)
        assert await come.get() == "second"
        assert workers.fitting == ["first", "second"]
        scheduler.speak.set()
        assert len({await come.get() for _ in range(CHECKS_MAX)}) == CHECKS_MAX
        workers.close()

    asyncio.run(script())


def test_a_worker_that_comes_back_at_its_address_can_be_refused() -> None:
    async def script() -> None:
        workers, come = watched(Scheduler())
        await workers.begin()
        for _ in range(2):
            workers.add("a")
            assert await come.get() == "a"
            workers.refuse("a", "it is old")
            assert (workers.fitting, workers.unfit) == ([], {"a": "it is old"})
            workers.remove("a")
            workers.refuse("a", "it is old")
            assert workers.unfit == {}  # That report was late.

    asyncio.run(script())


def test_a_worker_that_leaves_while_the_others_are_found_is_forgotten() -> None:
    class Leaving(Scheduler):
        async def identity(self) -> dict[str, Any]:
            self.watching.remove("gone")
            return await super().identity()

        watching: Workers

    async def script() -> None:
        scheduler = Leaving("gone", "there")
        workers, _ = watched(scheduler)
        scheduler.watching = workers
        await workers.begin()
        assert workers.fitting == ["there"]

    asyncio.run(script())


def test_a_stopped_worker_does_not_keep_a_server_from_connecting(cluster: Dask) -> None:
    async def script() -> None:
        sessions = [await Session.connect(cluster.address, "the cluster", "topic")]
        workers = sessions[0]._workers
        while not workers.fitting:
            await workers.changed.wait()
            workers.changed.clear()
        cluster.workers["one"].send_signal(signal.SIGSTOP)
        sessions.append(await Session.connect(cluster.address, "the cluster", "topic"))
        assert sessions[1]._workers.fitting == []
        for session in sessions:
            await session.close()

    try:
        asyncio.run(script())
    finally:
        cluster.workers["one"].send_signal(signal.SIGCONT)


LOADS_SLOWLY = """
import os, pathlib, time
pathlib.Path("{folder}/loading").touch()
while os.path.exists("{folder}/slow"):
    time.sleep(0.01)
from service.engine.isolation.main import serve
from tests.support.engine.hostile import TOOLS
serve(lambda _: TOOLS)
"""


async def until(is_so: Callable[[], Any]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not is_so():  # noqa: ASYNC110 - in other threads and processes
            await asyncio.sleep(0.01)


def test_a_new_worker_takes_only_calls_that_no_worker_has_taken_and_that_it_can_make(
    cluster: Dask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "slow").touch()
    submitted: list[dict[str, Any]] = []
    submit = Session._submit

    def counting(session: Session, call: ClusterCall, tools: str | None) -> Any:
        submitted.append(dict(call.resources))
        return submit(session, call, tools)

    monkeypatch.setattr(Session, "_submit", counting)

    async def script(made: Calls) -> None:
        await until(lambda: link._session is not None and link._session._workers.fitting)
        session = link._session
        assert session is not None
        session._workers.unfit["tcp://127.0.0.1:9"] = "it is old"  # So calls are submitted to workers by name.
        demands: list[dict[str, int | float]] = [{}, SEAT, {"GPU": 1}]
        loading, seated, graphic = (made.begin("place", isolate=False, resources=each) for each in demands)
        await until(lambda: [call for call in list(session._calls.values()) if call.assigned])
        await until(lambda: (tmp_path / "loading").exists() and len(session._calls) == 3)
        await until(lambda: all(call.allowed for call in list(session._calls.values())))
        submitted.clear()
        cluster.start_worker("two", "--resources", "seat=1")
        await until(lambda: SEAT in submitted)
        (tmp_path / "slow").unlink()
        for call in (loading, seated):
            assert isinstance(await call.outcome(), Succeeded)
        assert {str(resources) for resources in submitted} == {str(SEAT)}
        graphic.task.cancel()

    try:
        with linked(cluster.address, tool_arguments=("-P", "-c", LOADS_SLOWLY.format(folder=tmp_path))) as link:
            in_calls(tmp_path, script, on_cluster=lambda: OnCluster(link, 100))
    finally:
        if "two" in cluster.workers:
            cluster.kill_worker("two")


def test_a_call_whose_worker_leaves_before_it_begins_is_released() -> None:
    async def script() -> None:
        call = ClusterCall(
            Request("", "", {}, [], None, "", [], ""), {}, LineBuffer(CallTool("a", "t", {}, 1, 1, None))
        )
        call.renew()
        call.allowed = ["a"]
        assert call.excludes("b")
        call.end(Released())
        call.take({"kind": "assigned", "address": "a"}, "")
        assert not call.ended.done()
        assert not call.excludes("b")
        call.leave("b")
        assert not call.ended.done()
        call.leave("a")
        assert call.ended.result() == Released()

    asyncio.run(script())


def test_a_call_is_not_made_again_and_again_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the case that a worker goes on to refuse a call."""
    answers = [Unfit("a", "old"), Unfit("b", "old"), Unfit("a", "old"), Ended("", 0, [], 0, Failed("tool_error", ""))]
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async def answer(*_: Any) -> Any:
        return answers.pop(0)

    monkeypatch.setattr("service.engine.cluster.link.asyncio.sleep", pause)
    link: Any = ClusterLink(ClusterSettings("tcp://127.0.0.1:9", 1))
    link._session = SimpleNamespace(call=answer)
    attempt: Any = SimpleNamespace(
        move=SimpleNamespace(resources=None), lines=SimpleNamespace(leave_out=int), run=SimpleNamespace(state=None)
    )
    attempt.state_bytes_max = 0
    assert isinstance(asyncio.run(link._call(attempt, Request("", "", {}, [], None, "", [], ""))), Failed)
    assert pauses == [PAUSE_S_MIN]
