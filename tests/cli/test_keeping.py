"""Backups of a running server, and what a restored copy does and does not do by itself."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.system.commands import TOOLS, Ask, asking_in, of
from tests.support.system.process import Server, serving

SIGNALLED = '{"start_node": "a", "nodes": {"a": {"signal": "yes"}}}'
LEAVING = """
from service import tool

@tool
def leave(context):
    (context.folder / "found.txt").write_text(context.run_id)
    (context.folder / ".draft").write_text("unfinished")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "tools.py").write_text(TOOLS)
    (folder / "leaving.py").write_text(LEAVING)
    with serving(folder, tools=["tools.py", "leaving.py"]) as found:
        yield found


@pytest.fixture
def ask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    """A command where there is no server."""
    return asking_in(tmp_path, capsys)


def back_up(server: Server, ask: Ask, target: Path) -> str:
    """Make a backup of three runs: one has left a file, one waits, and one is in a tool. Return the last line."""
    left = server.run(server.create(json.loads(of("leave"))))
    server.follow(left, until=["completed"])
    signalled = server.run(server.create(json.loads(SIGNALLED)))
    server.follow(signalled, until=["waiting"])
    running = server.run(server.create(json.loads(of("wait"))))
    server.follow(running, until=["running"])
    nightly = {"graph_id": server.create(json.loads(of("leave"))), "cron": "0 2 * * *"}
    server.call("PUT", "/schedules/nightly", json=nightly)
    done = ask("backup", str(target), "--database-url", f"sqlite:///{server.database}")
    assert done.code == 0, done.err
    (target.parent / "ids.json").write_text(json.dumps([left, signalled, running]))
    return done.out


def statuses(ask: Ask) -> dict[str, str]:
    done = ask("runs", "--json", "--limit", "100")
    return {each["run_id"]: each["status"] for each in json.loads(done.out)}


def test_a_restored_copy_does_nothing_twice_unasked(server: Server, ask: Ask, tmp_path: Path) -> None:
    assert str(tmp_path / "b.tar") in back_up(server, ask, tmp_path / "b.tar")
    left, signalled, running = json.loads((tmp_path / "ids.json").read_text())
    with tarfile.open(tmp_path / "b.tar") as tar:
        names = tar.getnames()
    assert f"runs/{left}/found.txt" in names
    assert not [name for name in names if "draft" in name]
    done = ask("restore", "b.tar")
    assert (done.code, done.err) == (0, "")
    assert "2 unfinished runs and all schedules are paused" in done.out
    found = statuses(ask)
    assert (found[left], found[signalled], found[running]) == ("completed", "paused", "paused")
    assert [each["paused"] for each in json.loads(ask("schedules", "--json").out)] == [True]
    assert (tmp_path / "rungraph-data" / "runs" / left / "found.txt").read_text() == left
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []
    assert (ask("restore", "b.tar").code, ask("backup", "b.tar").code) == (2, 2)
    (tmp_path / "tools.py").write_text(TOOLS)
    (tmp_path / "go").touch()
    with serving(tmp_path, tools=["tools.py"]) as copy:
        assert ask("resume", running).code == 0
        copy.follow(running, until=["completed"])
        assert statuses(ask)[signalled] == "paused"
        [step] = copy.call("GET", f"/runs/{running}/steps").json()["items"]
    # The attempt that was under way when the backup was made counts as lost.
    assert (step["attempt"], [each["error"] is None for each in step["attempts"]]) == (2, [False, True])


def test_a_copy_that_takes_over_goes_on(server: Server, ask: Ask, tmp_path: Path) -> None:
    back_up(server, ask, tmp_path / "b.tar")
    _, signalled, running = json.loads((tmp_path / "ids.json").read_text())
    assert "go on with the next server" in ask("restore", "b.tar", "--resume").out
    found = statuses(ask)
    assert (found[signalled], found[running]) == ("waiting", "running")
    assert [each["paused"] for each in json.loads(ask("schedules", "--json").out)] == [False]


def test_a_restore_is_on_disk_before_it_says_so(
    server: Server, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(server, ask, tmp_path / "b.tar")
    synced: dict[int, int] = {}
    sync = os.fsync

    def note(descriptor: int) -> None:
        sync(descriptor)
        found = os.fstat(descriptor)
        synced[found.st_ino] = found.st_size

    monkeypatch.setattr(os, "fsync", note)
    assert ask("restore", "b.tar").code == 0
    data = tmp_path / "rungraph-data"
    for path in (tmp_path, data, tmp_path / "rungraph.db", *data.rglob("*")):
        assert path.stat().st_ino in synced, path
    for path in (tmp_path / "rungraph.db", *data.rglob("*.txt")):
        assert synced[path.stat().st_ino] == path.stat().st_size, path


@pytest.mark.parametrize("names", [["../evil"], ["runs/../../evil"], ["/evil"], ["else"], []])
def test_an_archive_of_something_else_is_refused(ask: Ask, tmp_path: Path, names: list[str]) -> None:
    (tmp_path / "evil").write_text("")
    with tarfile.open(tmp_path / "b.tar", "w") as tar:
        for name in names:
            tar.addfile(tar.gettarinfo(tmp_path / "evil", name))
    done = ask("restore", "b.tar")
    assert (done.code, done.out) == (2, "")
    assert not (tmp_path / "rungraph.db").exists()
    assert not (tmp_path / "rungraph-data" / "runs").exists()


def test_a_file_that_is_no_archive_is_refused(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_text("no archive")
    assert ask("restore", "b.tar").code == 2
    assert ask("restore", "missing.tar").code == 2
    assert not (tmp_path / "rungraph.db").exists()
    assert ask("backup", "c.tar").err == f"rungraph: there is no database {tmp_path / 'rungraph.db'}\n"


def test_for_postgresql_the_command_says_what_to_do(ask: Ask) -> None:
    for command in ("backup", "restore"):
        done = ask(command, "b.tar", "--database-url", "postgresql://u:secret@localhost/x")
        assert (done.code, "pg_dump" in done.err, "secret" in done.err) == (2, True, False)
