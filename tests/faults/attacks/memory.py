"""The memory of a server and its children: a limit on it, and how much they hold."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MIB = 2**20
_V1 = Path("/sys/fs/cgroup/memory")
_V2 = Path("/sys/fs/cgroup")


class Group:
    """A cgroup whose processes together may hold at most `limit` bytes; the kernel kills one of them beyond it."""

    def __init__(self, limit: int) -> None:
        """Raise OSError if this process may not make cgroups."""
        self._is_v1 = _V1.is_dir()
        self.folder = (_V1 if self._is_v1 else _V2) / f"rungraph-attacks-{os.getpid()}-{time.monotonic_ns()}"
        self.folder.mkdir()
        (self.folder / ("memory.limit_in_bytes" if self._is_v1 else "memory.max")).write_text(str(limit))

    @property
    def within(self) -> tuple[str, ...]:
        """Return a command that executes another one in this group."""
        return ("sh", "-c", f'echo $$ > {self.folder}/cgroup.procs && exec "$@"', "sh")

    @property
    def held_bytes(self) -> int:
        """Return the memory of all processes, without the pages of files, which the kernel can drop."""
        name = "total_rss" if self._is_v1 else "anon"
        return int(self._figures("memory.stat")[name])

    @property
    def kills(self) -> int:
        return int(self._figures("memory.oom_control" if self._is_v1 else "memory.events").get("oom_kill", 0))

    def _figures(self, name: str) -> dict[str, str]:
        lines = (self.folder / name).read_text().splitlines()
        return dict(line.split(maxsplit=1) for line in lines)

    def remove(self) -> None:
        """Kill what is left in the group, and remove it."""
        for pid in (self.folder / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        for _ in range(100):
            with suppress(OSError):
                self.folder.rmdir()
                return
            time.sleep(0.05)


def group_or_none(limit: int) -> Group | None:
    """Return a cgroup, or None if this process may not make one."""
    try:
        return Group(limit)
    except OSError:
        return None


def pss_bytes(pid: int) -> int:
    """Return the proportional set size of a process; 0 once it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


class Gauge:
    """The most memory that a server held while it was watched."""

    def __init__(self, pid: int, group: Group | None) -> None:
        self._pid, self._group = pid, group
        self.held_max = self.pss_max = 0

    def look(self) -> None:
        self.pss_max = max(self.pss_max, pss_bytes(self._pid))
        held = pss_bytes(self._pid) if self._group is None else self._group.held_bytes
        self.held_max = max(self.held_max, held)

    @contextmanager
    def watching(self) -> Iterator[None]:
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.2):
                self.look()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
