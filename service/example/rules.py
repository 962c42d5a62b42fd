"""What a rule is: data that says what must hold for a column, and how to mend what breaks it.

A rule's SQL is always made from its parameters; the text that the state carries is for people to read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from service.core.tool import JsonObject
from service.example.columns import TYPES, bare
from service.example.database import literal, literals, quote


class Kind(StrEnum):
    """What a rule demands."""

    PLACEHOLDER = "placeholder"
    TYPE = "type"
    CATEGORY = "category"
    NOT_NULL = "not_null"
    NULLABLE = "nullable"
    RANGE = "range"
    UNIQUE = "unique"
    UNIQUE_ROW = "unique_row"


class Fix(StrEnum):
    """What mends a cell or a row that breaks a rule."""

    SET_NULL = "set_null"
    CAST = "cast"
    REPLACE = "replace"
    FILL = "fill"
    DROP_ROW = "drop_row"
    MERGE_ROWS = "merge_rows"
    NONE = "none"
    """Nothing: the rule accepts or describes what is there."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One demand on one column; `column` is None where it is the whole row's."""

    kind: Kind
    column: str | None
    fix: Fix
    parameters: JsonObject = field(default_factory=dict)
    found: int = 0
    """Cells or rows that broke it when it was made."""
    iteration: int = 0

    @classmethod
    def of(cls, data: JsonObject) -> Rule:
        """The rule that a state carries; KeyError or ValueError where it is none."""
        return cls(
            Kind(data["kind"]),
            data["column"],
            Fix(data["fix"]),
            data["parameters"],
            data["found"],
            data["iteration"],
        )

    def as_json(self) -> JsonObject:
        return {
            "column": self.column,
            "kind": self.kind.value,
            "parameters": self.parameters,
            "predicate": self.predicate,
            "fix": self.fix.value,
            "found": self.found,
            "iteration": self.iteration,
        }

    @property
    def cell(self) -> str:
        """The column, quoted."""
        return quote(str(self.column))

    @property
    def predicate(self) -> str:
        """What holds for each row, in SQL; as a CHECK does, it lets NULL pass."""
        match self.kind:
            case Kind.PLACEHOLDER:
                return f"CAST({self.cell} AS VARCHAR) NOT IN ({literals(self.parameters['values'])})"
            case Kind.TYPE:
                return f"{self.cell} IS NULL OR TRY_CAST({self.cell} AS {self.sql_type}) IS NOT NULL"
            case Kind.CATEGORY:
                return f"{self.cell} NOT IN ({literals([*self.parameters['mapping']])})"
            case Kind.NOT_NULL:
                return f"{self.cell} IS NOT NULL"
            case Kind.NULLABLE:
                return "TRUE"
            case Kind.RANGE:
                return f"{self.cell} BETWEEN {self._limits}"
            case Kind.UNIQUE:
                return f"count(*) OVER (PARTITION BY {self.cell}) = 1"
            case Kind.UNIQUE_ROW:
                return "every row differs from every other"

    @property
    def sql_type(self) -> str:
        """The type that a TYPE rule demands; ValueError for one that is unknown, since it is not quoted."""
        name = self.parameters["type"]
        if name not in TYPES:
            raise ValueError(f"unknown type: {name!r}")
        return str(name)

    @property
    def _limits(self) -> str:
        return f"{literal(self.parameters['low'])} AND {literal(self.parameters['high'])}"

    def mend(self, cell: str) -> str:
        """The expression that mends `cell`, an expression too."""
        match self.fix:
            case Fix.SET_NULL if self.kind is Kind.PLACEHOLDER:
                return f"CASE WHEN {cell} NOT IN ({literals(self.parameters['values'])}) THEN {cell} END"
            case Fix.SET_NULL:
                return f"CASE WHEN {cell} BETWEEN {self._limits} THEN {cell} END"
            case Fix.CAST:
                text = bare(cell)
                return f"CASE WHEN looks_{self.sql_type}({text}) THEN TRY_CAST({text} AS {self.sql_type}) END"
            case Fix.REPLACE:
                pairs = self.parameters["mapping"].items()
                changes = " ".join(f"WHEN {literal(old)} THEN {literal(new)}" for old, new in pairs)
                return f"CASE {cell} {changes} ELSE {cell} END"
            case Fix.FILL:
                return f"coalesce({cell}, {literal(self.parameters['value'])})"
            case Fix.DROP_ROW | Fix.MERGE_ROWS | Fix.NONE:
                return cell


def rules_of(state: dict[str, Any]) -> list[Rule]:
    """The rules made so far."""
    return [Rule.of(data) for data in state["rules"]]
