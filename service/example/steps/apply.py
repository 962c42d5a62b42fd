"""The fourth node: apply this iteration's rules and write the next table, without touching the old one.

The step first lists all changes. The next table is exactly the old table with these changes.
"""

from __future__ import annotations

from typing import Any

from service.core.tool import Context, JsonObject
from service.example.judging.findings import Kind, counted
from service.example.steps.run import changes_file, names_of, repairs_file, table_file
from service.example.tables.database import Connection, literal, load, opened, parquet, single, write
from service.example.tables.files import inside, remove_drafts


def apply_rules(state: dict[str, Any], context: Context) -> JsonObject:
    """Repair the current table by the rules of this iteration, and list and count the changes."""
    folder, iteration = context.folder, state["iteration"]
    remove_drafts(folder)
    names = names_of(folder)
    rules = [
        (rule["kind"], names.index(rule["column"]) + 1 if rule["column"] is not None else 0, rule["id"])
        for rule in state["rules"]
        if rule.get("iteration") == iteration
    ]
    table, changes = inside(folder, table_file(iteration + 1)), inside(folder, changes_file(iteration))
    with opened(folder, state["table"]) as db:
        load(db, folder, "rules", {"kind": "VARCHAR", "col": "INTEGER", "rule": "VARCHAR"}, rules)
        db.execute(
            f"""CREATE TEMP TABLE repairs AS SELECT r.*, rules.rule
            FROM {parquet(inside(folder, repairs_file(iteration)))} AS r JOIN rules USING (kind, col)"""
        )
        _list_changes(db, iteration)
        write(db, "FROM changes ORDER BY row, col", changes)
        write(db, _mended(), table)
        cells, rows = single(db, "SELECT count(*) FILTER (col > 0), count(*) FILTER (col = 0) FROM changes")
        touched = [
            col for (col,) in db.execute("SELECT DISTINCT col FROM changes WHERE col > 0 ORDER BY col").fetchall()
        ]
        if rows:
            touched = list(range(1, len(names) + 1))
    mended = {"cells_changed": cells, "rows_removed": rows, "rules": len(rules)}
    context.log(
        f"{counted(len(rules), 'rule')}: {counted(cells, 'cell')} changed, {counted(rows, 'row')} removed", **mended
    )
    *earlier, entry = state["history"]
    return {
        "table": table_file(iteration + 1),
        "touched": touched,
        "progress": cells + rows > 0,
        "change_count": state["change_count"] + cells + rows,
        "removed_count": state["removed_count"] + rows,
        "history": [*earlier, entry | {"mended": mended}],
    }


def _list_changes(db: Connection, iteration: int) -> None:
    """Make the table `changes`: a row for each cell that is repaired, and for each row that is removed (col 0)."""
    db.execute(
        f"""CREATE TEMP TABLE changes AS
        WITH cells AS (
            SELECT row, value, col FROM (
                SELECT row, unnest(cells) AS value, generate_subscripts(cells, 1)::INTEGER AS col FROM input)
            WHERE col IN (SELECT DISTINCT col FROM repairs))
        SELECT c.row, c.col, r.before, r.after, r.kind, r.rule, {int(iteration)} AS iteration, r.evidence
        FROM cells AS c JOIN repairs AS r ON r.col = c.col AND r.before = c.value WHERE r.row IS NULL
        UNION ALL
        SELECT c.row, c.col, r.before, r.after, r.kind, r.rule, {int(iteration)}, r.evidence
        FROM cells AS c JOIN repairs AS r ON r.col = c.col AND r.row = c.row AND r.before IS NOT DISTINCT FROM c.value
        UNION ALL
        SELECT c.row, c.col, NULL, r.after, r.kind, r.rule, {int(iteration)}, r.evidence
        FROM cells AS c JOIN repairs AS r ON r.col = c.col WHERE c.value IS NULL AND r.before IS NULL AND r.row IS NULL
        UNION ALL
        SELECT r.row, 0, NULL, NULL, r.kind, r.rule, {int(iteration)}, r.evidence FROM repairs AS r
        WHERE r.kind = {literal(Kind.DUPLICATE.value)}"""
    )


def _mended() -> str:
    """Return the query for the rows of the next table."""
    return """SELECT i.row, CASE WHEN c.afters IS NULL THEN i.cells ELSE
            list_transform(i.cells, lambda cell, col:
                CASE WHEN map_contains(c.afters, col) THEN c.afters[col] ELSE cell END)
        END AS cells
        FROM input AS i LEFT JOIN (
            SELECT row, map(list(col::BIGINT), list(after)) AS afters
            FROM changes WHERE col > 0 GROUP BY row) AS c USING (row)
        WHERE i.row NOT IN (SELECT row FROM changes WHERE col = 0) ORDER BY i.row"""
