"""On SQLite one server owns the file; every other one says so and leaves."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.system.process import Server, serving


def test_a_second_server_is_refused_in_one_line_that_names_the_first(tmp_path: Path) -> None:
    with serving(tmp_path) as first:
        second = Server(tmp_path)
        second.launch()
        said = second.output()
        assert second.process.returncode == 2
        assert said.count("\n") == 1
        assert first.url in said
        assert "PostgreSQL" in said
        assert first.call("GET", "/livez").status_code == 200


def test_a_file_is_served_by_any_name_and_once(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "rungraph.db").symlink_to("real/r.db")
    with serving(tmp_path) as first:
        (tmp_path / "real" / "r.db.lock").unlink()
        os.link(tmp_path / "real" / "r.db", tmp_path / "hard.db")
        for name in ("real/r.db", "hard.db", "real/../rungraph.db"):
            second = Server(tmp_path, RUNGRAPH_DATABASE_URL=f"sqlite:///{name}")
            second.launch()
            said = second.output()
            assert second.process.returncode == 2
            assert said.count("\n") == 1, said
            assert "PostgreSQL" in said
            assert first.url in said
        assert first.call("GET", "/readyz").status_code == 200


def test_uvicorn_with_two_workers_starts_no_second_owner(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "uvicorn", "service.main:app", "--port", "0", "--workers", "2"]
    server = Server(tmp_path, command=command)
    server.launch()
    assert server.process.stdout is not None
    try:
        refused = next(line for line in server.process.stdout if "owned by the server" in line)
        assert "PostgreSQL" in refused
    finally:
        server.process.terminate()
        server.output()


def test_a_wrong_setting_is_one_clear_line(tmp_path: Path) -> None:
    for environment, said in (
        ({"RUNGRAPH_DATABASE_URL": "sqlite://"}, "in-memory"),
        ({"RUNGRAPH_PORT": "x"}, "RUNGRAPH_PORT"),
        ({"RUNGRAPH_TOOLS": "missing.py"}, "missing.py"),
        ({"RUNGRAPH_HOST": "0.0.0.0", "RUNGRAPH_PORT": "0"}, "RUNGRAPH_API_TOKEN"),
        ({"RUNGRAPH_API_TOKEN": "a\nb"}, "RUNGRAPH_API_TOKEN"),
    ):
        server = Server(tmp_path, command=[sys.executable, "-m", "service", "serve"], **environment)
        server.launch()
        line = server.output()
        assert server.process.returncode == 2
        assert said in line
        assert line.count("\n") == 1


def test_migrate_alone_makes_the_schema(tmp_path: Path) -> None:
    server = Server(tmp_path, command=[sys.executable, "-m", "service", "migrate"])
    server.launch()
    assert re.search(r"has schema \d{4}$", server.output().strip())
    answer = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sqlite3; print(sqlite3.connect('rungraph.db').execute('SELECT * FROM v_runs').fetchall())",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout == "[]\n"
