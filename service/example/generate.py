"""The third node: makes a rule of each finding, as data, with what mends the cells that break it.

The one choice is what to do about missing values. A gap is filled only where that invents little: at most 5 %
of the column, with the median of a measure or a category that most rows have. Otherwise the column may be
NULL: names and free text, mostly missing columns, small tables, and values that are missing together with
others (a cancelled flight has no departure, arrival or delay), since then the gap itself says something.
"""

from __future__ import annotations

from typing import Any

from service.core.tool import Context, JsonObject
from service.example.columns import NUMERIC, TEXT, Column, columns_of
from service.example.database import Connection, opened, quote, single
from service.example.detect import Anomaly, Finding
from service.example.rules import Fix, Kind, Rule

FILL_SHARE_MAX = 0.05
FILL_FROM = 20
"""Fewer values than this tell nothing about the ones that are missing."""
FILL_CATEGORIES_MAX = 50
FILL_MODE_SHARE_MIN = 0.5
SPARSE_SHARE_MAX = 0.25
TOGETHER_SHARE_MIN = 0.5


def generate_rules(state: dict[str, Any], context: Context) -> JsonObject:
    """Make rules of the findings; the next node applies those of this iteration."""
    columns = {column.name: column for column in columns_of(state)}
    findings = [Finding.of(data) for data in state["findings"]]
    # A column's gaps are judged once all of them are seen and the rest has its type.
    unsettling = (Anomaly.PLACEHOLDER, Anomaly.TYPE_MISMATCH)
    unsettled = {finding.column for finding in findings if finding.kind in unsettling}
    rules = []
    with opened(context.folder, state["table"]) as db:
        together = _missing_together(db, list(columns.values()))
        for finding in findings:
            if finding.kind is not Anomaly.MISSING:
                rules.append(_rule(finding, state["iteration"]))
            elif finding.column not in unsettled:
                column = columns[str(finding.column)]
                rules.append(_rule_on_missing(db, column, column.name in together, state["iteration"]))
    for rule in rules:
        demand = f"{rule.column} may be NULL" if rule.kind is Kind.NULLABLE else rule.predicate[:300]
        context.log(f"Rule: {demand}; fix: {rule.fix}", **rule.as_json())
    return {"rules": [*state["rules"], *(rule.as_json() for rule in rules)]}


def _rule(finding: Finding, iteration: int) -> Rule:
    kind, fix = {
        Anomaly.PLACEHOLDER: (Kind.PLACEHOLDER, Fix.SET_NULL),
        Anomaly.TYPE_MISMATCH: (Kind.TYPE, Fix.CAST),
        Anomaly.OUTLIER: (Kind.RANGE, Fix.SET_NULL),
        Anomaly.CATEGORY: (Kind.CATEGORY, Fix.REPLACE),
        Anomaly.DUPLICATE_ROW: (Kind.UNIQUE_ROW, Fix.DROP_ROW),
        Anomaly.DUPLICATE_KEY: (Kind.UNIQUE, Fix.MERGE_ROWS),
    }[finding.kind]
    return Rule(kind, finding.column, fix, finding.details, finding.count, iteration)


def _rule_on_missing(db: Connection, column: Column, is_together: bool, iteration: int) -> Rule:
    share = column.missing / (column.missing + column.present)
    fill = None if is_together or share > FILL_SHARE_MAX else _fill(db, column)
    if fill:
        return Rule(Kind.NOT_NULL, column.name, Fix.FILL, fill, column.missing, iteration)
    parameters = {"missing_share": round(share, 4), "is_missing_with_others": is_together}
    return Rule(Kind.NULLABLE, column.name, Fix.NONE, parameters, column.missing, iteration)


def _fill(db: Connection, column: Column) -> JsonObject | None:
    """The value that stands for the column's missing ones, and how it was found; None where none does."""
    if column.present < FILL_FROM or column.names_things:
        return None
    cell = quote(column.name)
    if column.type in NUMERIC:
        (median,) = single(db, f"SELECT quantile_disc({cell}, 0.5) FROM input")
        return {"value": median, "method": "median"}
    if column.type in (TEXT, "BOOLEAN") and column.distinct <= FILL_CATEGORIES_MAX:
        counts = f"SELECT {cell}, count(*) FROM input WHERE {cell} IS NOT NULL GROUP BY ALL"
        value, count = single(db, f"{counts} ORDER BY 2 DESC, 1 LIMIT 1")
        if count >= FILL_MODE_SHARE_MIN * column.present:
            return {"value": value, "method": "most frequent"}
    return None


def _missing_together(db: Connection, columns: list[Column]) -> set[str]:
    """Columns where most rows that lack a value lack another one, too, of those that few rows lack."""
    sparse = [
        column.name for column in columns if 0 < column.missing <= SPARSE_SHARE_MAX * (column.missing + column.present)
    ]
    if len(sparse) < 2:
        return set()
    blanks = " + ".join(f"({quote(name)} IS NULL)::INTEGER" for name in sparse)
    shares = ", ".join(f"avg((blanks > 1)::INTEGER) FILTER ({quote(name)} IS NULL)" for name in sparse)
    row = single(db, f"SELECT {shares} FROM (SELECT *, {blanks} AS blanks FROM input)")
    return {name for name, share in zip(sparse, row, strict=True) if share >= TOGETHER_SHARE_MIN}
