"""Copying a run's folder for a fork: the same tree, safe against what links and tools do, whole or not at all."""

from __future__ import annotations

import ctypes
import os
import resource
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from service.api.folders import copying
from service.api.folders.copying import copy_folder

THEN_NS = 1_500_000_000_123_456_789


@pytest.fixture
def old(tmp_path: Path) -> Path:
    made = tmp_path / "runs" / "old"
    made.mkdir(parents=True)
    return made


@pytest.fixture
def new(old: Path) -> Path:
    return old.with_name("new")


def tree(folder: Path) -> dict[str, Any]:
    """What is in a folder, by name: kind, mode, time, content."""
    found: dict[str, Any] = {}
    for path in [folder, *folder.rglob("*")]:
        seen = path.lstat()
        content: Any = None
        if path.is_symlink():
            content = os.readlink(path)
        elif path.is_file():
            content = path.read_bytes()
        found[str(path.relative_to(folder))] = (oct(seen.st_mode), seen.st_mtime_ns, content)
    return found


def dated(path: Path) -> None:
    os.utime(path, ns=(THEN_NS, THEN_NS), follow_symlinks=False)


def test_a_tree_is_copied_with_modes_times_empty_folders_and_links(old: Path, new: Path) -> None:
    (old / "parts" / "deeper").mkdir(parents=True)
    (old / "empty").mkdir(0o750)
    (old / "parts" / "1.csv").write_text("a,b")
    (old / "parts" / "deeper" / ".hidden").write_bytes(os.urandom(3 * 2**20))
    (old / "run.sh").write_text("#!/bin/sh")
    (old / "run.sh").chmod(0o755)
    (old / "secret").write_text("x")
    (old / "secret").chmod(0o400)
    (old / "newest").symlink_to("parts/1.csv")
    (old / "parts" / "up").symlink_to("../run.sh")
    (old / "parts" / "nowhere").symlink_to("missing")
    (old / "loop").symlink_to("loop")
    (old / "parts").chmod(0o555)
    for path in [*old.rglob("*"), old]:
        dated(path)
    copy_folder(old, new)
    assert tree(new) == tree(old)
    assert (new / "newest").read_text() == "a,b"
    assert [path.name for path in sorted(old.parent.iterdir())] == ["new", "old"]


def test_bits_that_run_a_file_as_its_owner_are_not_copied(old: Path, new: Path) -> None:
    (old / "tool").write_text("")
    (old / "tool").chmod(0o6755)
    copy_folder(old, new)
    assert stat.S_IMODE((new / "tool").stat().st_mode) == 0o755


def test_without_a_folder_there_is_none(old: Path, new: Path) -> None:
    copy_folder(old.with_name("missing"), new)
    assert [path.name for path in old.parent.iterdir()] == ["old"]


class TestLinks:
    def test_into_the_old_folder_lead_to_the_same_place_in_the_new_one(
        self, old: Path, new: Path, tmp_path: Path
    ) -> None:
        (old / "inner").mkdir()
        (old / "inner" / "rows").write_text("old")
        (tmp_path / "alias").symlink_to(tmp_path / "runs")
        links = {
            "absolute": old / "inner" / "rows",
            "folder": old / "inner",
            "whole": old,
            "inner/again": old / "absolute",
            "inner/around": Path("../../old/inner/rows"),
            "other name": tmp_path / "alias" / "old" / "inner" / "rows",
            "through": Path("folder/rows"),
            "runs": Path(".."),
            "inner/long way": Path("../runs/old/inner/rows"),
            "to come": old / "inner" / "later",
        }
        for name, target in links.items():
            (old / name).symlink_to(target)
        copy_folder(old, new)
        for name in links.keys() - {"folder", "whole", "runs", "to come"}:
            (new / name).write_text(name)
            assert (new / "inner" / "rows").read_text() == name
        (new / "to come").write_text("x")
        assert (new / "inner" / "later").read_text() == "x"
        assert (old / "inner" / "rows").read_text() == "old"
        assert not (old / "inner" / "later").exists()
        assert (new / "whole").resolve() == new
        assert os.readlink(new / "through") == "folder/rows"

    def test_that_lead_outside_are_kept_and_nothing_there_is_copied_or_touched(
        self, old: Path, new: Path, tmp_path: Path
    ) -> None:
        outside = tmp_path / "outside"
        (outside / "deep").mkdir(parents=True)
        (outside / "deep" / "file").write_text("outside")
        (old / "absolute").symlink_to(outside)
        (old / "relative").symlink_to("../../outside/deep/file")
        (old / "beside").symlink_to("../older")  # The name begins alike.
        before = tree(outside)
        copy_folder(old, new)
        assert {path.name: os.readlink(path) for path in new.iterdir()} == {
            "absolute": str(outside),
            "relative": "../../outside/deep/file",
            "beside": "../older",
        }
        assert tree(outside) == before

    def test_a_folder_that_has_become_a_link_is_not_entered(
        self, old: Path, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside" / "file").write_text("outside")
        (old / "inner").mkdir()
        (old / "file").write_text("x")
        enter = copying._Copy._enter

        def exchanging(self: Any, place: str) -> list[str]:
            if place == "inner":
                (old / "inner").rmdir()
                (old / "inner").symlink_to(tmp_path / "outside")
            return enter(self, place)

        monkeypatch.setattr(copying._Copy, "_enter", exchanging)
        copy_folder(old, new)
        assert [path.name for path in new.rglob("*")] == ["file"]


def test_names_of_one_file_are_names_of_one_copy(old: Path, new: Path, tmp_path: Path) -> None:
    (old / "inner").mkdir()
    (old / "one").write_text("1")
    (old / "inner" / "two").hardlink_to(old / "one")
    (tmp_path / "outside").write_text("outside")
    (old / "three").hardlink_to(tmp_path / "outside")
    copy_folder(old, new)
    (new / "one").write_text("2")
    (new / "three").write_text("3")
    assert (new / "inner" / "two").read_text() == "2"
    assert ((old / "one").read_text(), (tmp_path / "outside").read_text()) == ("1", "outside")


def test_what_is_no_file_is_left_out_with_a_line_and_holds_up_nobody(
    old: Path, new: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(old / "pipe")
    (old / ("." + "x.csv." + "0" * 32)).write_text("a draft of a file")
    (old / "file").write_text("x")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(old / "socket"))
        copy_folder(old, new)
    assert [path.name for path in new.iterdir()] == ["file"]
    said = sorted(record.getMessage() for record in caplog.records)
    assert [line.partition(" in ")[0] for line in said] == ["'pipe'", "'socket'"]
    assert "a FIFO" in said[0]


def test_a_file_that_has_become_a_fifo_is_left_out(old: Path, new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (old / "file").write_text("x")
    copy_file = copying._Copy._copy_file

    def exchanging(self: Any, *arguments: Any) -> None:
        (old / "file").unlink()
        os.mkfifo(old / "file")
        copy_file(self, *arguments)

    monkeypatch.setattr(copying._Copy, "_copy_file", exchanging)
    copy_folder(old, new)
    assert list(new.iterdir()) == []


@contextmanager
def meddling(monkeypatch: pytest.MonkeyPatch, at: str, meddle: Any) -> Iterator[None]:
    """`meddle` happens before each call of `at` in copying."""
    called = getattr(copying, at)

    def after_it(*arguments: Any) -> Any:
        meddle()
        return called(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(copying, at, after_it)
        yield


class TestChanging:
    def test_files_that_vanish_are_left_out(self, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("a", "b", "c"):
            (old / name).write_text(name)
        (old / "inner").mkdir()

        def remove() -> None:
            (old / "c").unlink(missing_ok=True)
            if (old / "inner").exists():
                (old / "inner").rmdir()

        with meddling(monkeypatch, "_copy_range", remove), monkeypatch.context() as patch:
            patch.setattr(os, "listdir", lambda _: ["a", "c", "inner"])
            copy_folder(old, new)
        assert [path.name for path in new.iterdir()] == ["a"]

    def test_a_file_that_grows_is_copied_as_far_as_it_went(
        self, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (old / "log").write_bytes(b"x" * 1000)

        def grow() -> None:
            with (old / "log").open("ab") as file:
                file.write(b"y" * 1000)

        with meddling(monkeypatch, "_copy_range", grow):
            copy_folder(old, new)
        assert (new / "log").read_bytes() == b"x" * 1000

    def test_a_file_that_is_cut_off_ends_there(self, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (old / "log").write_bytes(b"x" * 1000)
        with meddling(monkeypatch, "_copy_range", lambda: os.truncate(old / "log", 10)):
            copy_folder(old, new)
        assert (new / "log").read_bytes() == b"x" * 10

    def test_a_folder_that_vanishes_whole_leaves_nothing(self, old: Path, new: Path) -> None:
        assert old.is_dir()
        real = os.path.realpath

        def removing(path: str) -> str:
            found: str = real(path)
            if old.exists():
                old.rmdir()
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os.path, "realpath", removing)
            copy_folder(old, new)
        assert list(new.parent.iterdir()) == []


SIZE = 2**34


@pytest.mark.parametrize("by_system", [True, False], ids=["copy_file_range", "read and write"])
def test_holes_stay_holes(old: Path, new: Path, monkeypatch: pytest.MonkeyPatch, by_system: bool) -> None:
    with (old / "sparse").open("wb") as file:
        for place in (0, SIZE // 2, SIZE - 10):
            file.seek(place)
            file.write(b"0123456789")
    (old / "all hole").touch()
    os.truncate(old / "all hole", SIZE)
    if not by_system:
        monkeypatch.delattr(os, "copy_file_range", raising=False)
    copy_folder(old, new)
    for name in ("sparse", "all hole"):
        assert (new / name).stat().st_size == SIZE
        assert (new / name).stat().st_blocks * 512 < 2**20
    with (new / "sparse").open("rb") as file:
        for place in (0, SIZE // 2, SIZE - 10):
            file.seek(place)
            assert file.read(10) == b"0123456789"


def test_names_that_are_no_utf_8_are_copied(old: Path, new: Path) -> None:
    name = os.fsencode(old) + b"/\xff\xfe"
    os.mkdir(name)
    Path(os.fsdecode(name + b"/\xe9\n")).write_text("x")
    copy_folder(old, new)
    assert os.listdir(os.fsencode(new)) == [b"\xff\xfe"]
    assert Path(os.fsdecode(os.fsencode(new) + b"/\xff\xfe/\xe9\n")).read_text() == "x"


def test_thousands_of_files_are_brought_to_the_disk_together(
    old: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(300):
        (old / f"{number % 20}").mkdir(exist_ok=True)
        (old / f"{number % 20}" / f"{number}").write_text(str(number))
    synced: list[int] = []
    together: list[int] = []
    fsync = os.fsync

    def noting(file: int) -> None:
        synced.append(file)
        fsync(file)

    monkeypatch.setattr(os, "fsync", noting)
    monkeypatch.setattr(copying, "_sync_file_system", together.append)
    monkeypatch.setattr(copying, "_SYNCFS", object())
    copy_folder(old, new)
    assert len(list(new.rglob("*"))) == 320
    assert (len(synced), len(together)) == (copying.SYNCED_ONE_BY_ONE_MAX + 1, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")
def test_a_file_system_is_synced(tmp_path: Path) -> None:
    assert copying._SYNCFS is not None
    descriptor = os.open(tmp_path, os.O_RDONLY)
    copying._sync_file_system(descriptor)
    os.close(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        copying._sync_file_system(descriptor)
    assert ctypes.get_errno() != 0


FULL = """\
import os, resource, signal, sys
from pathlib import Path
from service.api.folders.copying import copy_folder
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
try:
    copy_folder(Path(sys.argv[1]), Path(sys.argv[2]))
except OSError as error:
    print(error.filename, error.strerror)
"""


def test_a_disk_that_takes_no_more_leaves_nothing_behind(old: Path, new: Path) -> None:
    """A limit on the size of files stands for it, in a process of its own."""
    (old / "inner").mkdir()
    (old / "a").write_text("x")
    (old / "inner" / "large").write_bytes(b"x" * 2**21)
    (old / "inner").chmod(0o555)
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(old), str(new)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "inner/large File too large\n"
    assert [path.name for path in old.parent.iterdir()] == ["old"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 2**20


UNREADABLE = """\
import os, sys
from pathlib import Path
from service.api.folders.copying import copy_folder
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    copy_folder(Path(sys.argv[1]), Path(sys.argv[2]))
except PermissionError as error:
    print(error.filename, error.strerror)
"""


def test_a_file_that_the_server_may_not_read_is_named_and_nothing_is_left() -> None:
    # Not in pytest's own folder, where nobody but its user may look.
    with TemporaryDirectory() as made:
        runs = Path(made)
        runs.chmod(0o777)
        (runs / "old" / "inner").mkdir(parents=True)
        (runs / "old" / "inner" / "secret").write_text("x")
        (runs / "old" / "inner" / "secret").chmod(0)
        command = [sys.executable, "-c", UNREADABLE, str(runs / "old"), str(runs / "new")]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout == "inner/secret Permission denied\n"
        assert [path.name for path in runs.iterdir()] == ["old"]
