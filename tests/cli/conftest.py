"""A folder with tools and graphs for the command line, and a way to ask it there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.system.commands import LOOP, TOOLS, Ask, asking_in, of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tools.py").write_text(TOOLS)
    (tmp_path / "loop.json").write_text(LOOP)
    (tmp_path / "wait.json").write_text(of("wait"))
    return tmp_path


@pytest.fixture
def ask(folder: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    return asking_in(folder, capsys)
