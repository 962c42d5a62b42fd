"""The second node: judge the table, count what can be repaired, and decide whether the run is done.

A column is judged for one kind of error at a time, in the order of the kinds, because errors hide each other: a
placeholder among numbers hides that the column is numeric, for example. So each iteration reveals errors for the next.
When the run ends, the output is written here, whatever the reason.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from service.core.tool import Context, JsonObject
from service.example.graph import stop_reason
from service.example.judging.findings import Kind, Repair, shown
from service.example.judging.table import Judge
from service.example.steps.run import Asked, changes_file, columns_of, names_of, repairs_file
from service.example.tables.database import Connection, forget, load, opened, parquet, write
from service.example.tables.files import inside, remove_drafts
from service.example.writing.output import write_output

EXAMPLES = 3
FINDINGS_SHOWN = 200


def detect_anomalies(state: dict[str, Any], context: Context) -> JsonObject:
    """Find what can be repaired and what only looks wrong; at the end of the run, write the output."""
    folder, iteration = context.folder, state["iteration"]
    remove_drafts(folder)
    names = names_of(folder)
    columns = columns_of(folder, iteration)
    asked = Asked.of(state, names)
    with opened(folder, state["table"]) as db:
        earlier = [parquet(inside(folder, changes_file(each))) for each in range(1, iteration)]
        judge = Judge(db, columns, state["row_count"], asked.allow, asked.keep, earlier)
        found = judge.judge()
        findings = _write_repairs(db, found.repairs, names, state, context)
        counts = {kind.value: 0 for kind in Kind} | Counter()
        for finding in findings:
            counts[finding["kind"]] += finding["count"]
        total = sum(counts.values())
        entry = {"iteration": iteration, "row_count": state["row_count"], "anomaly_count": total, "counts": counts}
        changes: JsonObject = {
            "anomaly_count": total,
            "findings": findings[:FINDINGS_SHOWN],
            "learnt": state.get("learnt", {}) | {names[col - 1]: facts for col, facts in found.learnt.items()},
            "history": [*state["history"], entry],
        }
        for finding in findings[:FINDINGS_SHOWN]:
            context.log(_sentence(finding))
        reason = stop_reason(state | changes)
        context.log(f"{total:,} anomalies can be mended" + (f"; done: {reason}" if reason else ""), **counts)
        if reason is None:
            return changes
        output = write_output(db, judge, found, state | changes, context)
    forget(folder)
    return changes | {"stopped_because": reason} | output


def _write_repairs(
    db: Connection, repairs: list[Repair], names: list[str], state: dict[str, Any], context: Context
) -> list[JsonObject]:
    """Write the repairs for `apply`. Return a summary by kind and column, with the number of cells or rows."""
    types = {
        "col": "INTEGER", "row": "BIGINT", "before": "VARCHAR", "after": "VARCHAR", "kind": "VARCHAR",
        "evidence": "VARCHAR",
    }  # fmt: skip
    load(
        db, context.folder, "repairs", types, ((*repair[:4], repair.kind.value, repair.evidence) for repair in repairs)
    )
    write(db, "FROM repairs ORDER BY col, row, before", inside(context.folder, repairs_file(state["iteration"])))
    rows = db.execute(
        """SELECT r.kind, r.col, sum(CASE WHEN r.row IS NOT NULL THEN 1 ELSE coalesce(s.n, m.n) END)::BIGINT
        FROM repairs AS r LEFT JOIN spelled AS s ON r.row IS NULL AND s.col = r.col AND s.value = r.before
        LEFT JOIN missing AS m ON r.row IS NULL AND m.col = r.col AND r.before IS NULL GROUP BY ALL"""
    ).fetchall()
    examples: dict[tuple[str, int], list[JsonObject]] = defaultdict(list)
    for repair in repairs:
        told = examples[repair.kind.value, repair.column]
        if len(told) < EXAMPLES:
            told.append({"before": repair.before, "after": repair.after, "evidence": repair.evidence})
    order = list(Kind)
    return [
        {
            "kind": kind,
            "column": names[col - 1] if col else None,
            "count": count,
            "examples": examples[kind, col],
        }
        for kind, col, count in sorted(rows, key=lambda row: (order.index(Kind(row[0])), row[1]))
    ]


def _sentence(finding: JsonObject) -> str:
    first = finding["examples"][0]
    where = f"{finding['column']}: " if finding["column"] is not None else ""
    what = f"{shown(first['before'])} → {shown(first['after'])}"
    return f"{where}{finding['count']:,} × {finding['kind'].replace('_', ' ')}, such as {what}: {first['evidence']}"[
        :500
    ]
