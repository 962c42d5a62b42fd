"""What every competitor shares: the workloads' sizes, the command line and the line of JSON. Nothing but stdlib.

Each competitor is a process on a folder (and perhaps a PostgreSQL database) that nobody has used before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SIZES = {"S1": (1, 1000), "S2": (1000, 10), "S3": (1, 200), "S4": (1000, 10), "S5": (5000, 1)}
"""Runs and steps of each by workload; on PostgreSQL S8 is S1 and S2. The runs of S5 are its requests."""
STOPPED_AT = 5
"""The step after which the runs of S4 stand still until the kill."""
CONNECTIONS = 20
"""Clients of S5."""
POLL_S = 0.1
"""How often a reader may look whether runs are over."""


@dataclass(frozen=True)
class Work:
    """What one process has to do."""

    workload: str
    folder: Path
    url: str | None
    runs: int
    steps: int
    servers: int
    """0: in this very process; otherwise so many processes that share the runs."""
    variant: str
    role: str
    """Empty, or what a process that this harness started itself is for."""

    @property
    def payload(self) -> str:
        return "x" * (2**20 if self.workload == "S3" else 1024)

    @property
    def state(self) -> dict[str, Any]:
        return {"count": 0, "payload": self.payload}

    @property
    def run_ids(self) -> list[str]:
        return [f"r{number}" for number in range(self.runs)]

    @property
    def total(self) -> int:
        """Steps that are measured."""
        return self.runs * (self.steps - STOPPED_AT if self.workload == "S4" else self.steps)

    @property
    def share(self) -> list[str]:
        """The run ids of this process, if it is one of several that divide them by hand."""
        number = int(self.role.partition(":")[2] or 0)
        return self.run_ids[number :: max(self.servers, 1)]


def work() -> Work:
    """This process' command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=SIZES)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--url", help="a PostgreSQL database; without it a SQLite file in the folder")
    parser.add_argument("--runs", type=int, help="fewer than the workload has, for a trial; so too --steps")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--servers", type=int, default=0)
    parser.add_argument("--variant", default="")
    parser.add_argument("--role", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    runs, steps = SIZES[given.workload]
    if given.workload == "S4":
        given.steps = steps  # Fewer would end before they stand still.
    given.folder.mkdir(parents=True, exist_ok=True)
    return Work(
        given.workload,
        given.folder.absolute(),
        given.url,
        min(given.runs or runs, runs),
        min(given.steps or steps, steps),
        given.servers,
        given.variant,
        given.role,
    )


def report(asked: Work, seconds: float, durability: str, *, steps: int | None = None, **more: Any) -> None:
    """The one line of JSON."""
    size = None if asked.url or asked.workload == "S5" else bytes_in(asked.folder)
    line = {"seconds": seconds, "steps": steps or asked.total, "bytes": size, "durability": durability, **more}
    print(json.dumps(line), flush=True)


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("peer.db*"))


def file_of(asked: Work) -> Path:
    return asked.folder / "peer.db"


def make_wal(asked: Work) -> None:
    """Make the file in WAL mode for a competitor that leaves the mode as it is."""
    with closing(sqlite3.connect(file_of(asked))) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def said(journal: object, synchronous: object) -> str:
    """What a SQLite connection answered to its pragmas, in words. Anything less than FULL ends the comparison."""
    level = ("OFF", "NORMAL", "FULL", "EXTRA")[int(str(synchronous))]
    if level not in ("FULL", "EXTRA"):
        raise SystemExit(f"not durable: synchronous={level}")
    return f"SQLite {sqlite3.sqlite_version} journal_mode={journal} synchronous={level}"


def pragmas(connection: sqlite3.Connection) -> str:
    journal, synchronous = (connection.execute(f"PRAGMA {of}").fetchone()[0] for of in ("journal_mode", "synchronous"))
    return said(journal, synchronous)


def check(state: Any, steps: int) -> None:
    """A competitor that did not do the work has no figure."""
    if state["count"] != steps or not state["payload"]:
        raise SystemExit(f"the run ended with count {state['count']} and not {steps}")


def again(asked: Work, role: str) -> list[str]:
    """The command of another process of the same competitor."""
    command = [sys.executable, "-P", "-m", _module(), asked.workload, "--folder", str(asked.folder), "--role", role]
    command += ["--runs", str(asked.runs), "--steps", str(asked.steps), "--servers", str(asked.servers)]
    command += ["--variant", asked.variant] if asked.variant else []
    return command + (["--url", asked.url] if asked.url else [])


def _module() -> str:
    return f"peers.{Path(sys.argv[0]).stem}"


def killed_and_resumed(asked: Work) -> None:
    """S4: a process is killed with all its runs half done; another one ends them, and prints the line."""
    first = subprocess.Popen(again(asked, "stand"), stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    if first.stdout.readline().strip() != "standing":
        raise SystemExit("the runs did not come to stand")
    first.send_signal(signal.SIGKILL)
    first.wait()
    subprocess.run(again(asked, "resume"), check=True)


class Stand:
    """Lets a tool of S4 stand still after STOPPED_AT steps, in the process that is to be killed."""

    def __init__(self, asked: Work) -> None:
        self._wanted = asked.runs if asked.role == "stand" else None

    async def __call__(self, count: int) -> None:
        if self._wanted is None or count != STOPPED_AT:
            return
        self._wanted -= 1
        if not self._wanted:
            print("standing", flush=True)
        await asyncio.Event().wait()


def run_servers(asked: Work) -> float:
    """Seconds from the word to the last answer, of processes that divide the runs by hand."""
    processes = [
        subprocess.Popen(again(asked, f"server:{n}"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for n in range(asked.servers)
    ]
    for process in processes:
        _expect(process, "ready")
    begun = time.perf_counter()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _expect(process, "done")
    seconds = time.perf_counter() - begun
    for process in processes:
        process.wait()
    return seconds


def _expect(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    if (line := process.stdout.readline().strip()) != word:
        raise SystemExit(f"a server said {line!r}, not {word!r}")


async def told(do: Callable[[], Awaitable[None]]) -> None:
    """The part of one process of `run_servers`: be ready, wait for the word, do it, say so."""
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await do()
    print("done", flush=True)


def serving(commands: Iterable[list[str]], is_done: Callable[[], bool], **options: Any) -> None:
    """Have processes execute runs that wait in the database, until `is_done`."""
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL, **options) for command in commands]
    try:
        while not is_done():
            if any(process.poll() is not None for process in processes):
                raise SystemExit("a server has ended")
            time.sleep(POLL_S)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, **more}
