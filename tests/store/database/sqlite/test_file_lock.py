"""One owner for one file, whatever the file is called and whoever tidies up beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.core.errors import StartRefused
from service.store.database.opening import database_at
from service.store.database.protocol import Database
from service.store.database.sqlite.file_lock import FileLock, lock_path
from service.store.schema.migrate import migrate
from tests.support.store.harness import ask


def named(path: Path) -> Database:
    return database_at(f"sqlite:///{path}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "real").mkdir()
    (tmp_path / "other").mkdir()
    return tmp_path


def link_to_the_file(folder: Path) -> Path:
    (folder / "other" / "link.db").symlink_to(folder / "real" / "r.db")
    return folder / "other" / "link.db"


def relative_link(folder: Path) -> Path:
    (folder / "r.db").symlink_to("real/r.db")
    return folder / "r.db"


def link_to_a_link(folder: Path) -> Path:
    (folder / "first.db").symlink_to("real/r.db")
    (folder / "second.db").symlink_to("first.db")
    return folder / "second.db"


def link_to_the_folder(folder: Path) -> Path:
    (folder / "link").symlink_to("real")
    return folder / "link" / "r.db"


def up_and_down(folder: Path) -> Path:
    return folder / "other" / ".." / "real" / "." / "r.db"


def up_from_a_link(folder: Path) -> Path:
    """`..` is that of the folder where the link leads, and not of the one where it is."""
    (folder / "other" / "deep").symlink_to("../real")
    return folder / "other" / "deep" / ".." / "real" / "r.db"


NAMES: list[Callable[[Path], Path]] = [
    link_to_the_file,
    relative_link,
    link_to_a_link,
    link_to_the_folder,
    up_and_down,
    up_from_a_link,
]


@pytest.mark.parametrize("is_there", [True, False], ids=["there", "dangling"])
@pytest.mark.parametrize("name", NAMES, ids=lambda name: name.__name__)
def test_a_file_has_one_owner_under_all_its_names(name: Callable[[Path], Path], is_there: bool, folder: Path) -> None:
    real, other = named(folder / "real" / "r.db"), named(name(folder))
    if is_there:
        migrate(real)
    assert other == real
    assert other.data_folder == real.data_folder
    for first, second in ((real, other), (other, real)):
        ownership = first.own("http://first")
        assert second.owner() == "http://first"
        with pytest.raises(StartRefused, match=r"http://first: .*PostgreSQL"):
            second.own("http://second")
        ownership.release()
    # A file of that name beside the link is another one.
    connection = other.connect_writer()
    assert sorted(os.listdir(folder / "real"))[:3] == ["r.db", "r.db-shm", "r.db-wal"]
    other.disconnect(connection, for_good=True)


def test_a_link_that_leads_to_itself_is_refused_in_one_line(folder: Path) -> None:
    (folder / "a.db").symlink_to("b.db")
    (folder / "b.db").symlink_to("a.db")
    for path in (folder / "a.db", folder / "a.db" / "r.db"):
        with pytest.raises(StartRefused, match=r"names no file: Too many levels of symbolic links$"):
            named(path)


@pytest.mark.parametrize("path", ["folder.db", "pipe.db"])
def test_what_is_no_file_is_refused_in_one_line(path: str, tmp_path: Path) -> None:
    (tmp_path / "folder.db").mkdir()
    os.mkfifo(tmp_path / "pipe.db")
    with pytest.raises(StartRefused, match=f"cannot (open|use) .*{path}"):
        named(tmp_path / path).own("http://first")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such locks")
class TestWithoutTheLockFile:
    """What holds of the database file itself."""

    def test_a_hard_link_has_the_owner_of_its_file(self, folder: Path) -> None:
        first, second = folder / "real" / "r.db", folder / "other" / "s.db"
        migrate(named(first))
        ownership = named(first).own("http://first")
        os.link(first, second)
        with pytest.raises(StartRefused, match=r"owned by the server at http://first: .*PostgreSQL"):
            named(second).own("http://second")
        ownership.release()

    def test_a_file_of_several_names_is_refused_since_each_has_a_log_of_its_own(self, folder: Path) -> None:
        first, second = folder / "real" / "r.db", folder / "other" / "s.db"
        migrate(named(first))
        os.link(first, second)
        for path in (first, second):
            with pytest.raises(StartRefused, match=r"has 2 names \(hard links\).*-samefile"):
                named(path).own("http://first")
        second.unlink()
        named(first).own("http://first").release()

    @pytest.mark.parametrize("instead", [None, "", "http://nobody\n"])
    def test_a_lock_file_that_is_removed_or_replaced_lets_no_second_owner_in(
        self, instead: str | None, folder: Path
    ) -> None:
        database = named(folder / "real" / "r.db")
        ownership = database.own("http://first")
        lock_path(folder / "real" / "r.db").unlink()
        if instead is not None:
            lock_path(folder / "real" / "r.db").write_text(instead)
        for _ in range(2):
            with pytest.raises(StartRefused, match=r"owned by the server at http://first: .*PostgreSQL"):
                database.own("http://second")
        ownership.release()
        database.own("http://second").release()

    def test_the_lock_is_kept_by_no_child_that_a_tool_has_forked(self, folder: Path) -> None:
        database = named(folder / "real" / "r.db")
        ownership = database.own("http://first")
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.close(write)
            os.read(read, 1)
            os._exit(0)
        try:
            ownership.release()
            database.own("http://second").release()
        finally:
            os.close(write)
            os.waitpid(child, 0)
            os.close(read)


COPY = "import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2])"


@pytest.fixture
def owned(folder: Path) -> Iterator[Path]:
    database = named(folder / "real" / "r.db")
    migrate(database)
    ownership = database.own("http://first")
    yield folder / "real" / "r.db"
    ownership.release()


def test_a_copy_of_the_file_has_no_owner(owned: Path, folder: Path) -> None:
    copy = folder / "other" / "copy.db"
    subprocess.run([sys.executable, "-c", COPY, owned, copy], check=True)
    FileLock.take(copy, "http://second").release()
    assert ask(named(copy), "SELECT count(*) FROM runs") == [(0,)]
