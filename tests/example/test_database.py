"""The instances of DuckDB that are kept between the steps of a run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.example.tables.database import KEPT_MAX, _kept, database, forget


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[list[Path]]:
    found = [tmp_path / str(number) for number in range(KEPT_MAX + 1)]
    for folder in found:
        folder.mkdir()
    yield found
    for folder in found:
        forget(folder)


def test_the_instances_used_last_are_kept(folders: list[Path]) -> None:
    for folder in folders:
        with database(folder):
            pass
    assert [folder for _, folder in _kept if folder in folders] == folders[1:]


def test_a_forked_process_closes_no_instance_of_its_parent(
    folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *others = folders
    with database(first) as session:
        session.execute("CREATE TABLE here (n INTEGER)")
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    for folder in others:
        with database(folder):
            pass
    for folder in others:
        forget(folder)
    monkeypatch.undo()
    with database(first) as session:
        assert session.execute("SELECT count(*) FROM here").fetchone() == (0,)
