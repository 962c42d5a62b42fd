"""The third node: turn each finding into a rule, which says what must hold and how to repair cells that break it."""

from __future__ import annotations

from typing import Any

from service.core.tool import Context, JsonObject
from service.example.judging.findings import Kind
from service.example.steps.run import names_of, repairs_file
from service.example.tables.database import database, parquet
from service.example.tables.files import inside, remove_drafts

VALUES_MAX = 20
"""The most repaired texts that a rule lists. The list of changes has all of them."""

DEMANDS = {
    Kind.SPACE: "no text begins or ends with a space",
    Kind.PLACEHOLDER: "a missing value is an empty cell and not a text",
    Kind.FORMAT: "every value has the same format",
    Kind.SHIFTED: "every value stands in its own column",
    Kind.SPELLING: "every name has one spelling",
    Kind.DEPENDENCY: "the value is the one that other columns determine",
    Kind.TEXT_IN_NUMBERS: "every value is a number",
    Kind.OUTLIER: "no number is an outlier",
    Kind.FILL: "no value is missing",
    Kind.DUPLICATE: "no row repeats another",
}


def generate_rules(state: dict[str, Any], context: Context) -> JsonObject:
    """Turn the findings of this iteration into rules, which the next node applies."""
    remove_drafts(context.folder)
    iteration = state["iteration"]
    names = names_of(context.folder)
    repairs = parquet(inside(context.folder, repairs_file(iteration)))
    with database(context.folder) as db:
        rows = db.execute(
            f"""SELECT kind, col, count(*),
            list({{'before': before, 'after': after}} ORDER BY before, after)[:{VALUES_MAX}],
            any_value(evidence ORDER BY before, row) FROM {repairs} GROUP BY ALL"""
        ).fetchall()
    order = list(Kind)
    rows.sort(key=lambda row: (order.index(Kind(row[0])), row[1]))
    rules = []
    for number, (kind, col, count, values, evidence) in enumerate(rows, start=len(state["rules"]) + 1):
        rules.append(
            {
                "id": f"R{number}",
                "kind": kind,
                "column": names[col - 1] if col else None,
                "demand": DEMANDS[Kind(kind)],
                "repairs": count,
                "values": values,
                "evidence": evidence,
                "iteration": iteration,
            }
        )
    for rule in rules[: VALUES_MAX * 10]:
        where = f"{rule['column']}: " if rule["column"] is not None else ""
        context.log(f"Rule {rule['id']}: {where}{rule['demand']}", **rule)
    return {"rules": [*state["rules"], *rules]}
