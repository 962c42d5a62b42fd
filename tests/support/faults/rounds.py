"""Run a round: put servers under load, inject one kind of fault again and again, let them rest, and check them."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.support.faults.checks import Found, compare
from tests.support.faults.disk import Disk, library
from tests.support.faults.ledger import Clients
from tests.support.postgres import Server as Postgres
from tests.support.system.invariants import TOOLS, query
from tests.support.system.process import Server, until

LEASE_S = 2
REST_S = 180.0
"""How long runs may take to end after the last fault, on a busy machine."""


@dataclass
class Stage:
    """What a fault may lay hands on."""

    folder: Path
    database: str | Path
    servers: Sequence[Server]
    postgres: Postgres | None
    chance: random.Random
    disk: Disk | None = None
    """Under a SQLite file."""
    keeping: threading.Lock = field(default_factory=threading.Lock)
    """Held while no server that has ended is to be started again."""

    def serving(self) -> Server:
        """One of the servers, once it answers and has been at work for a moment."""
        server = self.chance.choice(self.servers)
        until(lambda: _answers(server))
        self.pause(0.1, 1.5)
        return server

    def pause(self, least_s: float, most_s: float) -> None:
        """Any moment is meant."""
        time.sleep(self.chance.uniform(least_s, most_s))


def _answers(server: Server) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(server.url + "/livez", timeout=5, trust_env=False, verify=False).status_code == 200
    return False


Fault = Callable[[Stage], None]


@dataclass(frozen=True)
class Outcome:
    fault: str
    database: str
    injected: int
    runs: int
    refused: int
    unsettled: int
    found: Found


def play(
    fault: Fault,
    seed: int,
    seconds: float,
    *,
    postgres: tuple[Postgres, str] | None,
    has_disk: bool = True,
    **environment: str,
) -> Outcome:
    """One round of `fault`, injected over and over for `seconds`. `postgres`: a server, and a database of its own.

    Without a disk, which only faults of disks need, servers start much faster.
    """
    chance = random.Random(f"{fault.__name__} {seed}")
    with tempfile.TemporaryDirectory(prefix="rungraph-faults-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        given = {"RUNGRAPH_LEASE_SECONDS": str(LEASE_S), "PAUSE_S": "0.02", **environment}
        if postgres is not None:
            given["RUNGRAPH_DATABASE_URL"] = postgres[1]
        disk = None if postgres is not None or not has_disk else Disk(library(), folder / "disk", "rungraph.db")
        given |= {} if disk is None else disk.environment
        names = ["one"] if postgres is None else ["one", "two"]
        servers = [Server(folder, tools=[TOOLS], SERVER=each, **given) for each in names]
        database = folder / "rungraph.db" if postgres is None else postgres[1]
        stage = Stage(folder, database, servers, None if postgres is None else postgres[0], chance, disk)
        with _kept_up(servers, stage.keeping):
            clients = Clients(servers, seed)
            clients.begin()
            injected = _inject(fault, stage, seconds)
            clients.end()
            _rest(database)
        found = compare(database, clients.ledger)
        ledger = clients.ledger
        kind = "SQLite" if postgres is None else "PostgreSQL"
        return Outcome(fault.__name__, kind, injected, len(ledger.runs), ledger.refused, ledger.unsettled, found)


def _inject(fault: Fault, stage: Stage, seconds: float) -> int:
    end = time.monotonic() + seconds
    injected = 0
    while time.monotonic() < end:
        fault(stage)
        injected += 1
        stage.pause(0.2, 1.5)
    return injected


def _rest(database: str | Path) -> None:
    open_runs = "SELECT id, status, step FROM runs WHERE status NOT IN ('completed', 'failed', 'cancelled') LIMIT 20"
    end = time.monotonic() + REST_S
    while query(database, open_runs):
        assert time.monotonic() < end, f"runs are stuck: {query(database, open_runs)}"
        time.sleep(0.3)


@contextmanager
def _kept_up(servers: Sequence[Server], keeping: threading.Lock) -> Iterator[None]:
    """All of `servers`, each started again whenever it has ended, as whoever operates them would."""
    stopping = threading.Event()

    def keep_up(server: Server) -> None:
        while not stopping.wait(0.05):
            with keeping:
                has_ended = server.process.poll() is not None
                if has_ended:
                    server.output()
                    server.launch()
            if has_ended:
                with suppress(AssertionError):  # It has ended once more, before it was ready.
                    server.wait_until_ready()

    keepers = [threading.Thread(target=keep_up, args=(server,), daemon=True) for server in servers]
    for server in servers:
        server.start()
    for keeper in keepers:
        keeper.start()
    try:
        yield
    finally:
        stopping.set()
        for keeper in keepers:
            keeper.join()
        for server in servers:
            if server.process.poll() is None:
                server.process.kill()
            server.output()
