"""`rungraph serve` of this checkout as a process of its own, and the time and memory that the process uses."""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers import common, http

HERE = Path(__file__).resolve().parents[1]
RUNS = HERE / ".runs"


@dataclass(frozen=True)
class Server:
    port: int
    pid: int

    def get(self, path: str) -> bytes:
        return http.get(self.port, path)

    def post(self, path: str, body: Any) -> Any:
        return http.post(self.port, path, body)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def cpu_s(self) -> float:
        """Processor time since its start, of all its threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_kib(self) -> int:
        """What it holds in memory, without the pages of files."""
        found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        assert found is not None
        return int(found[1])


@contextmanager
def serve(folder: Path, url: str, *options: str, tools: str = "", **settings: str) -> Iterator[Server]:
    """A server on the database at `url`, with `tools` as its tool file; `settings` are environment variables."""
    (folder / "tools.py").write_text(tools)
    port = http.free_port()
    command = [sys.executable, "-m", "service", "serve", "--port", str(port), "--tools", "tools.py"]
    environment = common.environment(PYTHONPATH=str(HERE.parent), **settings)
    with http.server(
        [*command, "--database-url", url, *options], port, "/livez", cwd=folder, env=environment
    ) as process:
        yield Server(port, process.pid)


@contextmanager
def new_folder() -> Iterator[Path]:
    """On the checkout's disk; `/tmp` may be memory."""
    RUNS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=RUNS) as name:
        yield Path(name)


@contextmanager
def databases(on_postgres: bool) -> Iterator[Any]:
    """What makes databases on a PostgreSQL of our own, where that is asked for; its autovacuum waits for nothing."""
    if not on_postgres:
        yield None
        return
    sys.path.insert(0, str(HERE.parent))
    from tests.support.postgres import Databases, own_server

    with own_server(max_connections="100", autovacuum_naptime="1s", autovacuum_vacuum_cost_delay="0") as server:
        yield Databases(server.url)
