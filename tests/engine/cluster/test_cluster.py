"""What becomes of a call when its tool, its worker or its scheduler ends, and which workers are used."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from service.core.moves import CallTool, Failed, ProcessDied, Succeeded, WorkerLost
from service.engine.call import CallInterrupted
from service.engine.cluster.call import ClusterCall, Released
from service.engine.cluster.link import ClusterLink
from service.engine.cluster.messages import Request
from service.engine.cluster.session import NotConnected, Session
from service.engine.cluster.versions import versions_here
from service.engine.lines import LINES_MAX, LineBuffer
from service.engine.ways.on_cluster import OnCluster
from tests.support.engine.calls import DEADLINE_S, STATE_BYTES_MAX, Calls, Made, in_calls, until_dead
from tests.support.engine.cluster import Dask, dask, linked


def on(link: ClusterLink, folder: Path, script: Callable[[Calls], Awaitable[Any]], calls_max: int = 100) -> Any:
    (folder / "runs").mkdir(exist_ok=True)
    return in_calls(folder, script, on_cluster=lambda: OnCluster(link, calls_max))


def begin(made: Calls, tool: str, resources: dict[str, int | float] | None = None, **options: Any) -> Made:
    return made.begin(tool, isolate=False, resources=resources or {}, **options)


def places(made: Made) -> list[str]:
    """The lines that say where the call is."""
    return [line.message for line in made.lines.rest() if line.data.startswith('{"cluster":')]


async def until_told(made: Made, text: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not any(text in message for message in places(made)):
        assert time.monotonic() < end, places(made)
        await asyncio.to_thread(time.sleep, 0.02)


def test_a_tool_that_ends_its_process_leaves_the_worker_alone(cluster: Dask, tmp_path: Path) -> None:
    async def script(made: Calls) -> None:
        for tool, because in (("segfaults", "it was killed by SIGSEGV"), ("exits", "it ended with exit code 3")):
            call = begin(made, tool)
            assert await call.outcome() == ProcessDied(f"the tool's process died: {because}")
            assert places(call)[-1].startswith("called on the worker one (tcp://127.0.0.1:")
        call = begin(made, "spins", timeout_s=0.2)
        assert await call.outcome() == Failed("timeout", "the tool took longer than 0.2 s")
        await asyncio.to_thread(until_dead, await call.pid())
        assert isinstance(await begin(made, "place").outcome(), Succeeded)

    with linked(cluster.address) as link:
        on(link, tmp_path, script)


def test_further_calls_wait_and_hold_no_thread(cluster: Dask, tmp_path: Path) -> None:
    async def script(made: Calls) -> None:
        go = {"until": str(tmp_path / "go")}
        first = begin(made, "waits_for_a_file", metadata=go)
        await first.pid()
        further = [begin(made, "place") for _ in range(5)]
        await asyncio.sleep(0)
        assert [call.carrier.begun for call in further] == [0] * 5
        (tmp_path / "go").touch()
        for call in (first, *further):
            assert isinstance(await call.outcome(), Succeeded)

    with linked(cluster.address) as link:
        on(link, tmp_path, script, calls_max=1)


def test_the_largest_state_and_the_most_lines_pass_through_the_cluster(cluster: Dask, tmp_path: Path) -> None:
    half, lines = (STATE_BYTES_MAX - 64) // 2, 100_000

    async def script(made: Calls) -> None:
        outcome = await begin(made, "large", text="x" * (half - 1) + "y").outcome()
        assert isinstance(outcome, Succeeded), outcome
        assert outcome.changes.set["copy"].text == '"y' + "x" * (half - 1) + '"'
        outcome = await begin(made, "large", text="x" * (half + 64)).outcome()
        assert outcome == Failed("invalid_state", f"the state has more than {STATE_BYTES_MAX} bytes")

        flood = begin(made, "floods", metadata={"lines": lines})
        assert isinstance(await flood.outcome(), Succeeded)
        flood.lines.close()
        messages = [line.message for line in flood.lines.rest() if not line.data.startswith('{"cluster":')]
        assert messages[:-1] == [str(number) for number in range(LINES_MAX)]
        assert messages[-1] == f"{lines - LINES_MAX} more lines of this step were left out"

    with linked(cluster.address) as link:
        on(link, tmp_path, script)


def test_a_folder_that_is_not_shared_is_told_to_the_tool_that_uses_it(
    cluster: Dask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.engine.ways.on_cluster.mark_of", lambda _: "another mark")

    async def script(made: Calls) -> None:
        outcome = await begin(made, "place").outcome()
        assert isinstance(outcome, Failed)
        assert f"context.folder: {tmp_path / 'runs'} of the server is not shared with the worker one" in outcome.message
        assert isinstance(await begin(made, "logs").outcome(), Succeeded)

    with linked(cluster.address) as link:
        on(link, tmp_path, script)


def test_a_call_whose_demands_no_worker_meets_waits(cluster: Dask, tmp_path: Path) -> None:
    async def script(made: Calls) -> None:
        call = begin(made, "place", {"GPU": 1, "disk": 0.5})
        await until_told(call, f"waits for a worker of the cluster {cluster.address} with GPU 1, disk 0.5")
        call.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call.outcome()

    with linked(cluster.address) as link:
        on(link, tmp_path, script)


@pytest.mark.parametrize("module", ["workers", "link"])
def test_a_worker_of_other_versions_is_not_used(
    cluster: Dask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    """The server compares the versions of each worker, and the worker compares them once more."""
    versions = {**versions_here(), "python": "2.7"}
    monkeypatch.setattr(f"service.engine.cluster.{module}.versions_here", lambda: versions)

    async def script(made: Calls) -> None:
        call = begin(made, "place")
        await until_told(call, "and this server has Python 2.7")
        assert "cannot be used: it has Python 3." in places(call)[-1]
        call.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call.outcome()

    with linked(cluster.address) as link:
        on(link, tmp_path, script)


OTHER_PYTHON = """
import platform
from distributed import versions

def report(packages, real=versions.get_package_info):
    return {**real(packages), "python": "3.99.1.final.0"}

versions.get_package_info = report
platform.python_version_tuple = lambda: ("3", "99", "1")
"""


def test_a_worker_with_another_python_is_named_and_the_next_one_is_used(cluster: Dask, tmp_path: Path) -> None:
    """The call waits already when either of them comes."""
    (tmp_path / "other_python.py").write_text(OTHER_PYTHON)
    (tmp_path / "go").touch()

    async def script(made: Calls) -> None:
        call = begin(made, "waits_for_a_file", {"seat": 1}, metadata={"until": str(tmp_path / "go")})
        await until_told(call, "with seat 1")
        cluster.start_worker("other", "--resources", "seat=1", "--preload", str(tmp_path / "other_python.py"))
        await until_told(call, "cannot be used: it has Python 3.99, and this server has Python 3.")
        further = begin(made, "place", {"seat": 1})
        await until_told(further, "cannot be used: it has Python 3.99")
        cluster.start_worker("fit", "--resources", "seat=1")
        for each in (call, further):
            assert isinstance(await each.outcome(), Succeeded)
            assert places(each)[-1].startswith("called on the worker fit (tcp://")

    try:
        with linked(cluster.address) as link:
            on(link, tmp_path, script)
    finally:
        for name in ("other", "fit"):
            if name in cluster.workers:
                cluster.kill_worker(name)


def test_a_call_that_begins_as_it_is_released_goes_on(
    cluster: Dask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The release and the message that the call has begun come before the waiting task wakes."""
    take = ClusterCall.take

    def take_after_release(call: ClusterCall, event: Mapping[str, Any], dashboard: str) -> None:
        if event["kind"] == "begun" and not call.has_begun:
            call.end(Released())
        take(call, event, dashboard)

    monkeypatch.setattr(ClusterCall, "take", take_after_release)

    async def script(made: Calls) -> None:
        call = begin(made, "place")
        assert isinstance(await call.outcome(), Succeeded)
        assert [place.startswith("called on the worker one") for place in places(call)].count(True) == 1

    with linked(cluster.address) as link:
        on(link, tmp_path, script)


def test_late_messages_of_a_released_submission_are_ignored() -> None:
    async def script() -> None:
        move = CallTool("a", "tool", {}, 1, 1, None)
        call = ClusterCall(Request("", "", {}, [], None, "", [], ""), {}, LineBuffer(move))
        call.renew()
        former = call.request.call_id
        call.end(Released())
        call.renew()
        assert not call.ended.done()
        assert call.request.call_id != former

    asyncio.run(script())


def _answer_as_a_web_server_would(listening: socket.socket) -> None:
    with suppress(OSError):  # The test has ended.
        while True:
            peer, _ = listening.accept()
            with peer:
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


async def _refusal(address: str) -> str:
    with pytest.raises(NotConnected) as caught:
        await Session.connect(address, "the cluster", "topic")
    return str(caught.value)


def test_a_wrong_address_is_told_with_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    no_scheduler = "no scheduler of Dask with this configuration answers there"

    async def script(web: str, silent: str) -> None:
        assert (await _refusal("tls://127.0.0.1:9")).startswith(f"{no_scheduler} (TypeError: TLS")
        assert (await _refusal(web)).startswith(no_scheduler)
        monkeypatch.setattr("service.engine.cluster.session.CONNECT_S", 1.0)
        # Dask keeps the reason of its last try alone, which may be that its time was over. If this loop stands still
        # meanwhile, our own time is over first.
        refusal = await _refusal("127.0.0.1:9")
        assert refusal.startswith(("Timed out trying to connect to tcp://127.0.0.1:9", "it does not answer"))
        assert await _refusal(silent) == "it does not answer"

    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as web:
        threading.Thread(target=_answer_as_a_web_server_would, args=(web,), daemon=True).start()
        ports = [listening.getsockname()[1] for listening in (web, silent)]
        asyncio.run(script(*(f"127.0.0.1:{port}" for port in ports)))
        web.shutdown(socket.SHUT_RDWR)


def test_a_fault_while_connecting_is_not_laid_on_the_scheduler(
    cluster: Dask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("service.engine.cluster.session.versions_here", dict)
    assert asyncio.run(_refusal(cluster.address)) == "its scheduler cannot be used (KeyError: 'dask')"
    assert "Traceback" in caplog.text
    assert "KeyError" in caplog.text


def test_tools_that_cannot_be_loaded_there_fail_their_attempts(cluster: Dask, tmp_path: Path) -> None:
    async def script(made: Calls) -> None:
        outcome = await begin(made, "place").outcome()
        assert isinstance(outcome, Failed)
        assert outcome.type == "tool_error"
        assert "the tools cannot be loaded on the worker one (tcp://" in outcome.message
        assert "No module named 'only_on_the_server'" in outcome.message

    missing = "from service.core.errors import StartRefused\nfrom service.engine.isolation.main import serve\n"
    missing += "def load(taken): raise StartRefused(\"No module named 'only_on_the_server'\")\nserve(load)"
    with linked(cluster.address, tool_arguments=("-P", "-c", missing)) as link:
        on(link, tmp_path, script)


def test_a_worker_that_dies_is_lost_and_so_is_the_scheduler(tmp_path: Path) -> None:
    """A server that dies, and one that goes on, are for tests/system."""

    async def loses_its_worker(made: Calls) -> None:
        call = begin(made, "spins")
        pid = await call.pid()
        broken.kill_worker("one")
        outcome = await call.outcome()
        assert isinstance(outcome, WorkerLost)
        assert "the worker one (tcp://" in outcome.message
        await asyncio.to_thread(until_dead, pid)

    async def loses_its_scheduler(made: Calls) -> None:
        broken.start_worker("two")
        call = begin(made, "spins")
        pid = await call.pid()
        broken.kill_scheduler()
        with pytest.raises(CallInterrupted, match="was lost during this attempt"):
            await call.outcome()
        await asyncio.to_thread(until_dead, pid)
        waiting = begin(made, "place")
        await until_told(waiting, f"waits for the cluster {broken.address} (")
        waiting.task.cancel()

    with dask(tmp_path, "one") as broken, linked(broken.address) as link:
        on(link, tmp_path, loses_its_worker)
        on(link, tmp_path, loses_its_scheduler)
