"""The caller's wishes for a run, and the names of the files that its steps write to its folder."""

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
    """The caller's wishes about what may be changed."""

    allow: frozenset[str]
    keep: frozenset[int]
    """Numbers of columns, from 1, that must not be changed."""

    @classmethod
    def of(cls, state: dict[str, Any], names: list[str]) -> Asked:
        """Read the state. Raise ValueError if its `mode`, `allow` or `keep` names something that does not exist."""
        mode, allow, keep = state.get("mode", "mend"), state.get("allow", []), state.get("keep", [])
        if mode not in MODES:
            raise ValueError(f"`mode` is {mode!r}; it is one of {', '.join(MODES)}")
        if unknown := [each for each in allow if each not in ALLOWED]:
            raise ValueError(f"`allow` has {unknown[0]!r}; it takes {', '.join(ALLOWED)}")
        if unknown := [each for each in keep if each not in names]:
            shown = ", ".join(map(repr, names[:20])) + (" …" if len(names) > 20 else "")
            raise ValueError(f"`keep` names {unknown[0]!r}, and the table has no such column; it has {shown}")
        return cls(frozenset(allow), frozenset(names.index(each) + 1 for each in keep))


def names_of(folder: Path) -> list[str]:
    """Return the names of the table's columns, in order."""
    return [str(name) for name in read_json(inside(folder, SOURCE))["names"]]


def columns_file(iteration: int) -> str:
    return f"{iteration}-columns.json"


def columns_of(folder: Path, iteration: int) -> list[Facts]:
    """Return the facts about the columns that `profile` measured in an iteration."""
    return [Facts.of(data) for data in read_json(inside(folder, columns_file(iteration)))]


def repairs_file(iteration: int) -> str:
    return f"{iteration}-repairs.parquet"


def changes_file(iteration: int) -> str:
    return f"{iteration}-changes.parquet"


def table_file(iteration: int) -> str:
    return f"{iteration}-table.parquet"
