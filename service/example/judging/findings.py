"""What a judge finds: repairs, each with its evidence, and flags, which say what looks wrong and is left alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from service.core.tool import JsonObject


class Kind(StrEnum):
    """What is wrong with a cell or a row; the order is the order of judging."""

    SPACE = "space"
    PLACEHOLDER = "placeholder"
    FORMAT = "format"
    SHIFTED = "shifted"
    SPELLING = "spelling"
    DEPENDENCY = "dependency"
    TEXT_IN_NUMBERS = "text_in_numbers"
    OUTLIER = "outlier"
    FILL = "fill"
    DUPLICATE = "duplicate"
    MISSING = "missing"
    HEADER = "header"
    ENCODING = "encoding"


class Repair(NamedTuple):
    """Every cell of a column with the text `before` becomes `after`; only the one in `row` where there is one."""

    column: int
    row: int | None
    before: str | None
    after: str | None
    """None: the cell becomes a missing one."""
    kind: Kind
    evidence: str


class Flag(NamedTuple):
    """Every cell of a column with this text looks wrong; only the one in `row` where there is one."""

    column: int | None
    row: int | None
    value: str | None
    kind: Kind
    reason: str


@dataclass(slots=True)
class Judgement:
    """What a judge found, and what holds for each column whose cells it understands."""

    repairs: list[Repair] = field(default_factory=list)
    flags: list[Flag] = field(default_factory=list)
    learnt: dict[int, JsonObject] = field(default_factory=dict)
    """Column → what stands in its rules, such as the unit of its numbers."""

    def add(self, other: Judgement) -> None:
        self.repairs += other.repairs
        self.flags += other.flags
        for column, facts in other.learnt.items():
            self.learnt.setdefault(column, {}).update(facts)


def shown(text: str | None) -> str:
    """A text as evidence and reasons quote it."""
    if text is None:
        return "nothing"
    return repr(text if len(text) <= 60 else text[:59] + "…")
