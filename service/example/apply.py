"""The fourth node: applies this iteration's rules and writes the next table; the old one stays as it was.

Rows first (repeated ones go, rows of one key become one), then cells, all in one query. Where rows of one key
contradict each other nothing is guessed: they stay, are counted again, and the run ends with `no_progress`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from service.core.tool import Context, JsonObject
from service.example.columns import Column, columns_of
from service.example.database import ROW, Connection, literal, opened, quote, single, write
from service.example.files import inside
from service.example.rules import Fix, Kind, Rule, rules_of


def apply_rules(state: dict[str, Any], context: Context) -> JsonObject:
    """Mend the current table by the rules of this iteration; count what that changed."""
    iteration = state["iteration"]
    columns = columns_of(state)
    rules = [rule for rule in rules_of(state) if rule.iteration == iteration]
    table = f"{iteration}-mended.parquet"
    path = inside(context.folder, table)
    with opened(context.folder, state["table"]) as db:
        _choose_rows(db, columns, rules)
        cells = ", ".join(f"{_mended(column, rules)} AS {quote(column.name)}" for column in columns)
        write(db, f"SELECT {quote(ROW)}, {cells} FROM chosen ORDER BY {quote(ROW)}", path)
        rows_removed, cells_changed = _count_changes(db, path, columns, rules)
    mended = {"rows_removed": rows_removed, "cells_changed": cells_changed, "rules": len(rules)}
    context.log(f"{len(rules)} rules: {cells_changed:,} cells changed, {rows_removed:,} rows removed", **mended)
    *earlier, entry = state["history"]
    return {
        "table": table,
        "progress": cells_changed + rows_removed > 0,
        "history": [*earlier, entry | {"mended": mended}],
    }


def _choose_rows(db: Connection, columns: list[Column], rules: list[Rule]) -> None:
    """Make the view `chosen`: the rows that stay, each with its first number."""
    row, cells = quote(ROW), ", ".join(quote(column.name) for column in columns)
    query = f"SELECT {row}, {cells} FROM input"
    if any(rule.fix is Fix.DROP_ROW for rule in rules):
        query = f"SELECT min({row}) AS {row}, {cells} FROM input GROUP BY {cells}"
    db.execute(f"CREATE TEMP VIEW differing AS {query}")
    db.execute("CREATE TEMP VIEW chosen AS FROM differing")
    for rule in rules:
        if rule.fix is Fix.MERGE_ROWS:
            _merge_rows(db, rule.cell, [quote(column.name) for column in columns])


def _merge_rows(db: Connection, key: str, cells: list[str]) -> None:
    """Let rows of one key become one that has what any of them has, where none contradicts another."""
    row = quote(ROW)
    agree = " AND ".join(f"count(DISTINCT {cell}) <= 1" for cell in cells)
    values = ", ".join(f"any_value({cell}) AS {cell}" for cell in cells if cell != key)
    db.execute(
        f"""CREATE TEMP TABLE merged AS
        SELECT min({row}) AS {row}, {key}, {values} FROM differing
        WHERE {key} IN (SELECT {key} FROM differing GROUP BY {key} HAVING count(*) > 1)
        GROUP BY {key} HAVING {agree}"""
    )
    names = ", ".join([row, *cells])
    db.execute(
        f"""CREATE OR REPLACE TEMP VIEW chosen AS
        SELECT {names} FROM differing WHERE {key} NOT IN (SELECT {key} FROM merged)
        UNION ALL SELECT {names} FROM merged"""
    )


def _mended(column: Column, rules: list[Rule]) -> str:
    """The expression of a column's mended cells, each rule around the one before."""
    cell = quote(column.name)
    for rule in rules:
        if rule.column == column.name:
            cell = rule.mend(cell)
    return cell


def _count_changes(db: Connection, path: Path, columns: list[Column], rules: list[Rule]) -> tuple[int, int]:
    """Rows that are gone, and cells of those that stay that differ; a cell that is cast is another value."""
    row = quote(ROW)
    cast = {rule.column for rule in rules if rule.kind is Kind.TYPE}
    merges_rows = any(rule.fix is Fix.MERGE_ROWS for rule in rules)
    ruled = {rule.column for rule in rules}
    counts = ["0"]
    for column in columns:
        old, new = f"old.{quote(column.name)}", f"new.{quote(column.name)}"
        if column.name in cast:
            counts.append(f"count({old})")
        elif merges_rows or column.name in ruled:
            counts.append(f"count(*) FILTER ({old} IS DISTINCT FROM {new})")
    mended = f"read_parquet({literal(str(path))})"
    kept, cells_changed = single(
        db, f"SELECT count(*), {' + '.join(counts)} FROM input AS old JOIN {mended} AS new USING ({row})"
    )
    (rows,) = single(db, "SELECT count(*) FROM input")
    return rows - kept, cells_changed
