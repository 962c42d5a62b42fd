"""Servers that share a PostgreSQL and a folder, and which of them carries which run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import httpx

from tests.support.system.invariants import TOOLS, executions, query
from tests.support.system.process import Server

LEASE_S = 2


def server_on(
    database: str,
    folder: Path,
    name: str,
    *,
    what: Sequence[str] = ("serve", "--port", "0"),
    within: Sequence[str] = (),
    **environment: str,
) -> Server:
    given = {"RUNGRAPH_LEASE_SECONDS": str(LEASE_S), "RUNGRAPH_DATABASE_URL": database, "SERVER": name, **environment}
    return Server(folder, tools=[TOOLS], what=what, within=within, **given)


def start(servers: Sequence[Server], graph_ids: Sequence[str], count: int) -> list[str]:
    """Start runs on `servers` in turn; their ids."""
    started = []
    with httpx.Client(trust_env=False, verify=False, timeout=60) as client:
        for number in range(count):
            body = {"graph_id": graph_ids[number % len(graph_ids)], "initial_state": {"n": 0}}
            answer = client.post(servers[number % len(servers)].url + "/graph/run", json=body)
            assert answer.status_code == 202, answer.text
            started.append(answer.json()["run_id"])
    return started


def held_by(database: str, server: Server) -> dict[str, int]:
    """The runs that `server` carries, each with its lease token."""
    return dict(
        query(
            database,
            "SELECT r.id, r.lease_token FROM runs r JOIN servers s ON s.id = r.lease_owner"
            f" WHERE s.address = '{server.url}'",
        )
    )


def is_executing(database: str, server: Server, name: str, *, runs_min: int) -> bool:
    """Whether nothing is left to claim, and `server` carries at least `runs_min` runs, each of them at work."""
    executed = {each.run_id for each in executions(server.folder) if each.server == name}
    held = held_by(database, server).keys()
    queued = query(database, "SELECT id FROM runs WHERE status = 'queued'")
    return not queued and len(held) >= runs_min and held <= executed


def still_held(database: str, held: dict[str, int]) -> bool:
    """Whether one of `held` is still under the lease that it was held by."""
    rows = query(database, "SELECT id, lease_token FROM runs WHERE status = 'running'")
    return any(held.get(run_id) == token for run_id, token in rows)


def taken_over(database: str, held: dict[str, int]) -> dict[str, int]:
    """Those of `held` that somebody has claimed since: all but one whose last commit was just on its way."""
    rows = query(database, "SELECT id, lease_token FROM runs")
    return {run_id: held[run_id] for run_id, token in rows if held.get(run_id, token) < token}
