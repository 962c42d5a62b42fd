"""What a run is asked for, and the names of the files that its steps leave in its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.example.graph import ALLOWED, MODES
from service.example.tables.columns import Facts
from service.example.tables.files import inside, read_json

RAW = "1-table.parquet"
SOURCE = "source.json"
REFUSED = "refused.csv"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller asks for beyond the table."""

    mends: bool
    """Whether anything is changed at all."""
    allow: frozenset[str]
    keep: frozenset[int]
    """Columns, from 1, that are never touched."""

    @classmethod
    def of(cls, state: dict[str, Any], names: list[str]) -> Asked:
        """Read the state. ValueError if its `mode`, `allow` or `keep` names something that does not exist."""
        mode, allow, keep = state.get("mode", "mend"), state.get("allow", []), state.get("keep", [])
        if mode not in MODES:
            raise ValueError(f"`mode` is {mode!r}; it is one of {', '.join(MODES)}")
        if unknown := [each for each in allow if each not in ALLOWED]:
            raise ValueError(f"`allow` has {unknown[0]!r}; it takes {', '.join(ALLOWED)}")
        if unknown := [each for each in keep if each not in names]:
            shown = ", ".join(map(repr, names[:20])) + (" …" if len(names) > 20 else "")
            raise ValueError(f"`keep` names {unknown[0]!r}, and the table has no such column; it has {shown}")
        return cls(mode == "mend", frozenset(allow), frozenset(names.index(each) + 1 for each in keep))


def names_of(folder: Path) -> list[str]:
    """The names of the table's columns, in order."""
    return [str(name) for name in read_json(inside(folder, SOURCE))["names"]]


def columns_file(iteration: int) -> str:
    return f"{iteration}-columns.json"


def columns_of(folder: Path, iteration: int) -> list[Facts]:
    """The columns as the profile of an iteration saw them."""
    return [Facts.of(data) for data in read_json(inside(folder, columns_file(iteration)))]


def repairs_file(iteration: int) -> str:
    return f"{iteration}-repairs.parquet"


def changes_file(iteration: int) -> str:
    return f"{iteration}-changes.parquet"


def table_file(iteration: int) -> str:
    return f"{iteration}-table.parquet"
