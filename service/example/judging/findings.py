"""The findings of a judge: repairs with their evidence, and flags for cells that look wrong but are not changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from service.core.tool import JsonObject
from service.example.tables.columns import Facts


class Kind(StrEnum):
    """The kinds of findings, in the order in which a table is judged for them. The last three are only flagged."""

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
    """The replacement of `before` by `after` in every cell of a column, or in one cell if `row` is not None.

    `before` is None for missing cells. A repair of the kind DUPLICATE removes `row`, and its column is 0.
    """

    column: int
    row: int | None
    before: str | None
    after: str | None
    """The new text, or None to make the cell a missing one."""
    kind: Kind
    evidence: str


class Flag(NamedTuple):
    """A doubt about every cell of the column with the text `value`, or about one cell if `row` is not None.

    If `column` is None, the doubt concerns the whole row, or the whole table if `row` is None, too.
    """

    column: int | None
    row: int | None
    value: str | None
    kind: Kind
    reason: str


@dataclass(slots=True)
class Judgement:
    """The repairs and flags of a judge, and the facts that it learnt about columns."""

    repairs: list[Repair] = field(default_factory=list)
    flags: list[Flag] = field(default_factory=list)
    learnt: dict[int, JsonObject] = field(default_factory=dict)
    """Facts for the rules, such as the unit of a column's numbers, by the number of the column."""

    def add(self, other: Judgement) -> None:
        self.repairs += other.repairs
        self.flags += other.flags
        for column, facts in other.learnt.items():
            self.learnt.setdefault(column, {}).update(facts)


def format_flag(facts: Facts, text: str, reason: str) -> Flag:
    """Return a flag for a text of a column whose format is in doubt."""
    return Flag(facts.column, None, text, Kind.FORMAT, f"{shown(text)}: {reason}")


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, which is in the plural unless the count is 1."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def shown(text: str | None) -> str:
    """Return a text in quotation marks for evidence and reasons, shortened to 60 characters; `nothing` for None."""
    if text is None:
        return "nothing"
    return repr(text if len(text) <= 60 else text[:59] + "…")
