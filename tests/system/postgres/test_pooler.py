"""Behind pgbouncer in transaction mode: everything works, slower, by a word in the URL (`?pooler=transaction`)."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.postgres import Databases
from tests.support.sessions import own_pids
from tests.support.system.invariants import check, counting, executions, query, unfinished
from tests.support.system.process import running, until
from tests.support.system.sharing import server_on, start
from tests.support.system.tails import lines_of_events, lines_of_websocket

POOL = 3
"""Connections for all servers together: less than one of them opens."""


@pytest.fixture
def database(postgres: Databases) -> Iterator[str]:
    url = postgres.migrated()
    yield url
    postgres.drop(url)


@pytest.fixture
def pooled(database: str) -> Iterator[str]:
    """The URL of `database` behind a pooler."""
    if shutil.which("pgbouncer") is None:
        pytest.skip("pgbouncer is not installed")
    given = psycopg.conninfo.conninfo_to_dict(database)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="rungraph-pooler-", dir="/tmp"))
    folder.chmod(0o755)
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "any",
        "pool_mode": "transaction",
        "default_pool_size": POOL,
    }
    target = f"* = host={given['host']} port={given['port']} user={given['user']}"
    lines = ["[databases]", target, "[pgbouncer]", *(f"{name} = {value}" for name, value in settings.items())]
    (folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n")
    # It refuses root.
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            ["pgbouncer", folder / "pgbouncer.ini"],
            stdout=log,
            stderr=log,
            user="nobody" if os.geteuid() == 0 else None,
            cwd="/",
        )
    try:
        until(lambda: "process up" in (folder / "log").read_text())
        yield f"postgresql://{given['user']}@127.0.0.1:{port}/{given['dbname']}?pooler=transaction"
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(folder)


def test_behind_a_pooler_in_transaction_mode(database: str, pooled: str, tmp_path: Path) -> None:
    here = server_on(pooled, tmp_path, "here", what=("serve", "--port", "0", "--no-engine"))
    there = [server_on(pooled, tmp_path, name) for name in ("there", "there-too")]
    with running(here, *there):
        started = start([here], [here.create(counting(15, tool)) for tool in ("count", "count_on_a_thread")], 40)
        followed = {
            started[0]: list(lines_of_websocket(here, started[0])),
            started[1]: list(lines_of_events(here, started[1])),
        }
        until(lambda: not unfinished(database))
        connected = query(
            database, "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert 1 <= len({pid for (pid,) in connected}.difference(own_pids())) <= POOL
        assert all(server.call("GET", "/readyz").status_code == 200 for server in (here, *there))
        assert [server.stop() for server in (here, *there)] == [0, 0, 0]
    check(database, runs=40)
    assert {each.server for each in executions(tmp_path)} <= {"there", "there-too"}
    for run_id, lines in followed.items():
        rows = query(database, f"SELECT seq, event, step FROM v_lines WHERE run_id = '{run_id}' ORDER BY seq")
        assert [(line["seq"], line["event"], line["step"]) for line in lines] == rows
    assert all("prepared statement" not in server.said for server in (here, *there))
