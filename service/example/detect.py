"""The second node: judges the facts, counts anomalies by kind, and decides whether the run is done.

What it finds is what a rule could mend or accept. Text hides outliers until it is cast, a placeholder hides a
missing value, and a value set to NULL is one: so a round brings to light what the next one must see. Where
the run ends, the output is written here, so that there is one whatever the reason.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from service.core.tool import Context, JsonObject
from service.example.categories import find_merges
from service.example.columns import Column, columns_of
from service.example.database import Connection, opened
from service.example.duplicates import count_repeated_rows, find_key
from service.example.export import write_output
from service.example.graph import stop_reason
from service.example.outliers import find_range
from service.example.rules import Kind, rules_of


class Anomaly(StrEnum):
    """What is counted; cells, but rows for the last two."""

    PLACEHOLDER = "placeholder"
    TYPE_MISMATCH = "type_mismatch"
    MISSING = "missing"
    OUTLIER = "outlier"
    CATEGORY = "category"
    DUPLICATE_ROW = "duplicate_row"
    DUPLICATE_KEY = "duplicate_key"


@dataclass(frozen=True, slots=True)
class Finding:
    """Anomalies of one kind in one column; `column` is None where they are the rows' own."""

    kind: Anomaly
    column: str | None
    count: int
    details: JsonObject = field(default_factory=dict)

    @classmethod
    def of(cls, data: JsonObject) -> Finding:
        return cls(Anomaly(data["kind"]), data["column"], data["count"], data["details"])


def detect_anomalies(state: dict[str, Any], context: Context) -> JsonObject:
    """Find and count the anomalies of the current table; at the end of the run, write the output."""
    columns = columns_of(state)
    accepted = {rule.column for rule in rules_of(state) if rule.kind is Kind.NULLABLE}
    with opened(context.folder, state["table"]) as db:
        found = [_in_column(db, column, column.name in accepted) for column in columns]
    findings = [finding for each in found for finding in each]
    findings += _in_rows(columns, state["row_count"], state["distinct_rows"])
    counts = {kind.value: 0 for kind in Anomaly}
    for finding in findings:
        counts[finding.kind] += finding.count
        context.log(_sentence(finding))
    total = sum(counts.values())
    known = {key: state[key] for key in ("iteration", "row_count")}
    entry = known | {"anomaly_count": total, "counts": counts}
    changes: JsonObject = {
        "anomaly_count": total,
        "findings": [asdict(finding) for finding in findings],
        "history": [*state["history"], entry],
    }
    reason = stop_reason(state | changes)
    context.log(f"{total:,} anomalies" + (f", done: {reason}" if reason else ""), **counts)
    return changes | {"stopped_because": reason} | (write_output(state, context) if reason else {})


def _in_column(db: Connection, column: Column, may_be_missing: bool) -> list[Finding]:
    findings = []
    if column.placeholders:
        values = list(column.placeholders)
        count = sum(column.placeholders.values())
        findings.append(Finding(Anomaly.PLACEHOLDER, column.name, count, {"values": values}))
    if column.should_be:
        count = column.present - sum((column.placeholders or {}).values())
        details = {"type": column.should_be, "strays": column.strays}
        findings.append(Finding(Anomaly.TYPE_MISMATCH, column.name, count, details))
    if column.missing and not may_be_missing:
        findings.append(Finding(Anomaly.MISSING, column.name, column.missing))
    merges, count = find_merges(db, column)
    if merges:
        findings.append(Finding(Anomaly.CATEGORY, column.name, count, {"mapping": merges}))
    if accepted := find_range(db, column):
        details = {"low": accepted.low, "high": accepted.high}
        findings.append(Finding(Anomaly.OUTLIER, column.name, accepted.outliers, details))
    return findings


def _in_rows(columns: list[Column], row_count: int, distinct_rows: int) -> list[Finding]:
    findings = []
    if repeated := count_repeated_rows(columns, row_count, distinct_rows):
        findings.append(Finding(Anomaly.DUPLICATE_ROW, None, repeated))
    key = find_key(columns, distinct_rows)
    if key and key.distinct < distinct_rows:
        findings.append(Finding(Anomaly.DUPLICATE_KEY, key.name, distinct_rows - key.distinct))
    return findings


def _sentence(finding: Finding) -> str:
    where = f"{finding.column}: " if finding.column is not None else ""
    match finding.kind:
        case Anomaly.PLACEHOLDER:
            what = f"cells hold a placeholder ({', '.join(map(repr, finding.details['values'][:5]))})"
        case Anomaly.TYPE_MISMATCH:
            strays = finding.details["strays"]
            what = f"cells are text and should be {finding.details['type']} ({strays:,} cannot)"
        case Anomaly.MISSING:
            what = "cells are missing"
        case Anomaly.OUTLIER:
            what = f"values lie far outside {finding.details['low']:g} to {finding.details['high']:g}"
        case Anomaly.CATEGORY:
            pairs = [f"{old!r} is {new!r}" for old, new in finding.details["mapping"].items()]
            what = f"cells spell a category in another way ({', '.join(pairs[:3])})"
        case Anomaly.DUPLICATE_ROW:
            what = "rows repeat another"
        case Anomaly.DUPLICATE_KEY:
            what = "rows have a key that another has"
    return f"{where}{finding.count:,} {what}"
