"""A tool in a process of its own: the same outcome as without, and whatever becomes of it, nobody else is hurt."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.core.moves import Failed, ProcessDied, Succeeded
from service.core.state import Changes
from service.engine.isolation import pool, worker
from service.engine.isolation.pool import IDLE_MAX, ISOLATED_MAX
from tests.support.engine.calls import Calls, in_calls, is_alive, until_dead

STATE = {"zero": -0.0, "list": [2**64, 0.1, "é\u2028", None], "gone": 1, "deep": {"z": 1, "a": [1, 1.0]}}


def pid_of(made: Calls) -> int:
    """Of the one idle process."""
    (idle,) = made.isolation._idle
    assert idle._process is not None
    return idle._process.pid


def test_a_state_comes_back_exactly(tmp_path: Path) -> None:
    metadata = {"big": 10**4000, "zero": -0.0, "order": {"b": [], "a": {}}}

    async def script(made: Calls) -> None:
        for tool in ("change", "change_awaiting"):
            await comes_back(made, tool)

    async def comes_back(made: Calls, tool: str) -> None:
        outcome = await made.call(tool, metadata=metadata, **STATE)
        assert isinstance(outcome, Succeeded)
        # The same to the last bit: texts, positions, order, keys that are gone.
        here = await made.call(tool, metadata=metadata, isolate=False, **STATE)
        assert isinstance(here, Succeeded)
        assert outcome.changes == here.changes._replace(scalars={})  # Those are known in this process alone.
        assert list(outcome.changes.set) == ["list", "metadata", "new", "also new"]
        assert outcome.changes.set["list"].text == '[18446744073709551616,0.1,"é\u2028",null,[1,-0.0]]'
        assert outcome.changes.set["metadata"].text == json.dumps(metadata, separators=(",", ":"))
        assert outcome.changes.unset == ("gone",)

    in_calls(tmp_path, script)


def test_a_large_state_goes_there_and_back(tmp_path: Path) -> None:
    text = '\\"\n' * 2**20

    async def script(made: Calls) -> None:
        assert (await made.returned("large", text=text))["copy"] == text[::-1]

    in_calls(tmp_path, script)


def test_context_tells_a_tool_where_it_is(tmp_path: Path) -> None:
    async def script(made: Calls) -> None:
        seen = await made.returned("place")
        assert seen["seen"] == ["r", 7, 2, "a", "r:7"]
        assert seen["main"] is True
        assert seen["pid"] == pid_of(made) != os.getpid()
        assert (tmp_path / "runs" / "r" / "left.txt").read_text() == "here"

    in_calls(tmp_path, script)


def test_a_bad_tool_comes_to_the_same_as_without_isolation(tmp_path: Path) -> None:
    async def script(made: Calls) -> None:
        for tool in ("value_error", "system_exit", "interrupted", "nan", "five", "cancels_itself"):
            isolated, here = made.begin(tool), made.begin(tool, isolate=False)
            assert await isolated.outcome() == await here.outcome()
            assert isinstance(await here.outcome(), Failed)
            assert [line.message for line in isolated.lines.rest()] == [line.message for line in here.lines.rest()]

    in_calls(tmp_path, script)


def test_what_a_tool_leaves_on_its_loop_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "FREE_S", 0.1)

    async def script(made: Calls) -> None:
        assert await made.call("leaves_exit_behind") == Succeeded(Changes({}))
        assert await made.returned("stops_the_loop") == {"stopped": True}
        left = (await made.returned("leaves_blocked_thread_behind"))["pid"]
        await asyncio.to_thread(until_dead, left)
        assert (await made.returned("place"))["pid"] != left

    in_calls(tmp_path, script)


def test_lines_arrive_with_their_levels_and_data(tmp_path: Path) -> None:
    async def script(made: Calls) -> None:
        for tool in ("logs", "logs_awaiting"):
            call = made.begin(tool)
            assert isinstance(await call.outcome(), Succeeded)
            lines = [(line.message, line.level, json.loads(line.data)) for line in call.lines.rest()]
            assert lines == [
                ("by context", "info", {"colour": "red", "odd": "{1}"}),
                ("careful 3", "warning", {"logger": "somebody"}),
            ]
            assert {line[3:6] for line in call.lines.rest()} == {("a", 7, 2)}

    in_calls(tmp_path, script)


def test_lines_are_heard_while_their_tool_goes_on(tmp_path: Path) -> None:
    async def script(made: Calls) -> None:
        call = made.begin("waits_for_a_file", metadata={"until": str(tmp_path / "go")})
        assert await call.pid()
        assert not call.task.done()
        (tmp_path / "go").touch()
        assert isinstance(await call.outcome(), Succeeded)

    in_calls(tmp_path, script)


def test_a_flood_of_lines_is_counted(tmp_path: Path) -> None:
    async def script(made: Calls) -> None:
        call = made.begin("floods")
        assert isinstance(await call.outcome(), Succeeded)
        call.lines.close()
        assert [line.message for line in call.lines.rest()][9_999:] == [
            "9999",
            "7 more lines of this step were left out",
        ]

    in_calls(tmp_path, script)


def test_what_a_tool_prints_and_reads_is_not_ours(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async def script(made: Calls) -> None:
        assert await made.returned("prints_and_reads") == {"read": ["", ""], "started": ""}
        assert await made.returned("closes_its_streams") == {"closed": True}
        assert await made.returned("place")

    in_calls(tmp_path, script)
    printed = capfd.readouterr()
    assert sorted(printed.out.splitlines()) == ["to fd 1", "to stdout"]
    assert printed.err == "to stderr\n"


DEATHS = {
    "segfaults": "it was killed by SIGSEGV",
    "exits": "it ended with exit code 3",
    "kills_itself": "it was killed by SIGKILL",
    "closes_all_fds": "its connection to the server was closed",
    "says_nonsense": "it sent a malformed message: a message of 18446744073709551615 bytes",
}


def test_a_process_that_dies_under_its_call_is_replaced(tmp_path: Path) -> None:
    async def script(made: Calls) -> None:
        for tool, because in DEATHS.items():
            call = made.begin(tool)
            assert await call.outcome() == ProcessDied(f"the tool's process died: {because}")
            if tool == "segfaults":
                assert [line.message for line in call.lines.rest()] == ["last words"]
            assert await made.returned("place")
            assert call.carrier.begun == 1

    in_calls(tmp_path, script)


def test_processes_that_a_tool_forks_do_not_speak_for_it(tmp_path: Path) -> None:
    async def script(made: Calls) -> None:
        assert await made.returned("forks_and_returns") == {"is_called": True}
        call = made.begin("leaves_a_child")
        assert await call.outcome() == ProcessDied("the tool's process died: it ended with exit code 0")
        await asyncio.to_thread(until_dead, await call.pid())

    in_calls(tmp_path, script)


def test_a_cancelled_attempt_ends_its_process(tmp_path: Path) -> None:
    async def script(made: Calls) -> None:
        for tool in ("spins", "spins_in_c", "sleeps", "starts_others"):
            call = made.begin(tool)
            begun = await call.lines.until("begun")
            call.carrier.has_given_up = True
            call.task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call.outcome()
            await asyncio.to_thread(until_dead, *begun.values())
        assert await made.returned("place")

    in_calls(tmp_path, script)


def test_a_call_that_is_cancelled_before_its_process_has_loaded_ends_it(tmp_path: Path) -> None:
    async def script(made: Calls) -> None:
        call = made.begin("place")
        await asyncio.sleep(0)
        call.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call.outcome()
        assert call.carrier.begun == 0
        assert await made.returned("place")
        assert len(made.isolation._idle) == 1

    in_calls(tmp_path, script)


def test_an_idle_process_is_used_again_and_replaced_when_it_is_dead(tmp_path: Path) -> None:
    async def script(made: Calls) -> None:
        pids = {(await made.returned("place"))["pid"] for _ in range(20)}
        assert len(pids) == 1
        os.kill(pids.pop(), signal.SIGKILL)
        call = made.begin("place")
        assert isinstance(await call.outcome(), Succeeded)
        assert call.carrier.begun == 1

    in_calls(tmp_path, script)


def test_an_idle_process_that_dies_is_no_zombie_and_one_that_is_idle_for_long_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "LOOK_S", 0.01)

    async def script(made: Calls) -> None:
        killed = (await made.returned("place"))["pid"]
        os.kill(killed, signal.SIGKILL)
        await asyncio.to_thread(_until_reaped, killed)
        monkeypatch.setattr(worker, "IDLE_S", 0.02)
        await asyncio.to_thread(_until_reaped, (await made.returned("place"))["pid"])
        assert (made.isolation._idle, made.isolation._busy) == ([], set())

    in_calls(tmp_path, script)


def _until_reaped(pid: int) -> None:
    while Path(f"/proc/{pid}").exists():
        pass


def test_further_calls_wait_for_a_slot_before_they_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= IDLE_MAX < ISOLATED_MAX
    monkeypatch.setattr(pool, "ISOLATED_MAX", 2)
    monkeypatch.setattr(pool, "IDLE_MAX", 1)

    async def script(made: Calls) -> None:
        metadata = {"until": str(tmp_path / "go")}
        waiting = [made.begin("waits_for_a_file", metadata=metadata) for _ in range(2)]
        assert len({await call.pid() for call in waiting}) == 2
        further = [made.begin("place") for _ in range(3)]
        given_up = made.begin("place")
        await asyncio.sleep(0)
        given_up.task.cancel()
        assert [call.carrier.begun for call in (*waiting, *further)] == [1, 1, 0, 0, 0]
        assert len(made.isolation._busy) == 2
        (tmp_path / "go").touch()
        outcomes = [await call.outcome() for call in (*waiting, *further)]
        assert all(isinstance(outcome, Succeeded) for outcome in outcomes)
        # One was kept, the others have ended, and their slots are free again.
        assert len(made.isolation._idle) == 1
        await asyncio.gather(*(made.isolation._slots.acquire() for _ in range(2)))

    in_calls(tmp_path, script)


def test_closing_ends_all_at_once_and_answers_nothing(tmp_path: Path) -> None:
    async def script(made: Calls) -> None:
        others = set(_children())  # The PostgreSQL of other tests may be one.
        await made.call("place")
        busy = [made.begin(tool) for tool in ("spins", "spins_in_c", "starts_others")]
        pids = [pid for call in busy for pid in (await call.lines.until("begun")).values()]
        starting = made.begin("place")
        await asyncio.sleep(0)
        made.isolation.close()
        await asyncio.to_thread(until_dead, *pids)
        assert not [pid for pid in set(_children()) - others if is_alive(pid)]
        # What a closed server was told counts for nothing; its tasks are cancelled.
        late = made.begin("place")
        await asyncio.wait([late.task], timeout=60)
        assert late.task.cancelled()
        assert not any(call.task.done() for call in (*busy, starting))
        for call in (*busy, starting):
            call.task.cancel()

    in_calls(tmp_path, script)


def _children() -> list[int]:
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=True
    )
    return [int(pid) for pid in listed.stdout.split()]


def test_nothing_is_left_open(tmp_path: Path) -> None:
    async def script(made: Calls) -> None:
        await made.call("place")
        for tool in ("segfaults", "exits", "spins", "place"):
            await made.call(tool, timeout_s=0.05 if tool == "spins" else None)

    before = sorted(os.listdir("/proc/self/fd"))
    in_calls(tmp_path, script)
    assert sorted(os.listdir("/proc/self/fd")) == before


SERVER = """
import asyncio, sys
from pathlib import Path
from tests.support.engine.calls import calls

async def serve():
    with calls(Path(sys.argv[1])) as made:
        busy = [made.begin(tool) for tool in ("spins", "spins_in_c", "sleeps")]
        pids = [await call.pid() for call in busy]
        pids.append((await made.returned("place"))["pid"])
        print(*pids, flush=True)
        await asyncio.sleep(600)

asyncio.run(serve())
"""


def test_the_processes_of_a_killed_server_die(tmp_path: Path) -> None:
    """Of three processes that a tool keeps busy, and of one that is idle."""
    with subprocess.Popen((sys.executable, "-c", SERVER, str(tmp_path)), stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        pids = [int(pid) for pid in server.stdout.readline().split()]
        assert [is_alive(pid) for pid in pids] == [True] * 4
        server.kill()
        until_dead(*pids)
