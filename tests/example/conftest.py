"""Sources for walks through the example's graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.example import initial_state
from tests.support.example import Attempt, Start, Walk


@pytest.fixture
def from_csv(tmp_path: Path) -> Start:
    """A walk over a CSV file with this content."""

    def start(content: str | bytes, threshold: float = 0, **asked: Any) -> Walk:
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "upload.csv").write_bytes(data)
        return Walk(Attempt(tmp_path), initial_state({"kind": "csv", "file": "upload.csv"}, threshold, asked))

    return start


@pytest.fixture
def from_rows(tmp_path: Path) -> Start:
    """A walk over a JSON array of objects."""

    def start(rows: Any, threshold: float = 0, **asked: Any) -> Walk:
        (tmp_path / "upload.json").write_text(json.dumps(rows))
        return Walk(Attempt(tmp_path), initial_state({"kind": "rows", "file": "upload.json"}, threshold, asked))

    return start
