"""The first node: the facts about each column of the current table, without judging them.

In the first iteration it loads the source, too. One query per column, so that memory is bounded by the widest
column and not by the table; texts are looked at once per distinct value.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from service.core.tool import Context, JsonObject
from service.example.columns import INTEGER, LOOKS, NUMERIC, TEXT, Column, bare
from service.example.database import ROW, Connection, literal, opened, quote, single
from service.example.files import inside
from service.example.source import load

PLACEHOLDER = r"(na|n/a|#n/a|n[.]a[.]|nan|null|[<(]null[>)]|\\n|-{1,3}|[?]{1,3}|[.])?"
"""What means "nothing" in any column, in lower case; also the empty text."""
VAGUE = "none|nil|unknown|missing|not available|tbd|error|[+-]?inf(inity)?"
"""What means "nothing" among numbers and dates, and may be a category of its own among texts."""

SPELLINGS_MAX = 50
STRAY_SHARE_MAX = 0.05
STRAYS_FROM = 8
"""A table shorter than this tells nothing about what is a stray."""


def profile_table(state: dict[str, Any], context: Context) -> JsonObject:
    """Measure every column: type, placeholders, missing, distinct values, quartiles, deviation, extremes."""
    iteration = state["iteration"] + 1
    loaded = _load(state, context) if iteration == 1 else {}
    table = (state | loaded)["table"]
    with opened(context.folder, table) as db:
        (row_count,) = single(db, "SELECT count(*) FROM input")
        described = db.execute("DESCRIBE input").fetchall()
        types = {name: _short(kind) for name, kind, *_ in described if name != ROW}
        columns = [_column(db, name, kind, row_count) for name, kind in types.items()]
        distinct_rows = _count_distinct_rows(db, columns, row_count)
    context.log(
        f"Iteration {iteration}: {row_count:,} rows and {len(columns)} columns in {table}",
        types={column.name: column.type for column in columns[:50]},
    )
    return loaded | {
        "iteration": iteration,
        "row_count": row_count,
        "distinct_rows": distinct_rows,
        "columns": [column.as_json() for column in columns],
    }


def _load(state: dict[str, Any], context: Context) -> JsonObject:
    table = "1-raw.parquet"
    refused = load(state["source"], context.folder, inside(context.folder, table))
    if refused:
        context.log(f"{refused:,} rows do not fit the header and were left out", rows_refused=refused)
    return {"table": table, "rows_refused": refused}


def _short(kind: str) -> str:
    return "TIMESTAMPTZ" if kind == "TIMESTAMP WITH TIME ZONE" else kind


def _count_distinct_rows(db: Connection, columns: list[Column], row_count: int) -> int:
    if any(column.distinct == row_count for column in columns):
        return row_count  # a column without any repetition spares the comparison of whole rows
    cells = ", ".join(quote(column.name) for column in columns)
    (distinct_rows,) = single(db, f"SELECT count(*) FROM (SELECT DISTINCT {cells} FROM input)")
    return int(distinct_rows)


def _column(db: Connection, name: str, kind: str, row_count: int) -> Column:
    if kind == TEXT:
        return _text_column(db, name, row_count)
    present, distinct = single(db, f"SELECT count({quote(name)}), count(DISTINCT {quote(name)}) FROM input")
    column = Column(name, kind, present, row_count - present, distinct)
    return _with_spread(db, column) if kind in NUMERIC and present else column


def _with_spread(db: Connection, column: Column) -> Column:
    cell = f"{quote(column.name)}::DOUBLE"
    quartiles = f"quantile_cont({cell}, [0.25, 0.5, 0.75])"
    low, high, mad, (q1, median, q3) = single(
        db, f"SELECT min({cell}), max({cell}), mad({cell}), {quartiles} FROM input"
    )
    return replace(
        column,
        low=_finite(low),
        q1=_finite(q1),
        median=_finite(median),
        q3=_finite(q3),
        high=_finite(high),
        mad=_finite(mad),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None  # a spread may exceed the largest number


def _text_column(db: Connection, name: str, row_count: int) -> Column:
    cell = quote(name)
    db.execute(
        f"""CREATE OR REPLACE TEMP TABLE spelled AS
        SELECT value, n, bare,
            length(value) <= 40 AND regexp_full_match(lower(bare), {literal(PLACEHOLDER)}) AS is_placeholder
        FROM (SELECT {cell} AS value, count(*) AS n, {bare(cell)} AS bare FROM input
              WHERE {cell} IS NOT NULL GROUP BY ALL)"""
    )
    placeholders: list[tuple[str, int]] = db.execute(
        f"SELECT value, n FROM spelled WHERE is_placeholder ORDER BY n DESC, value LIMIT {SPELLINGS_MAX}"
    ).fetchall()
    present, distinct, longest, values, plain = _counts(
        single(
            db,
            r"""SELECT sum(n), count(*), max(length(value)), sum(n) FILTER (NOT is_placeholder),
            sum(n) FILTER (NOT is_placeholder AND NOT regexp_full_match(bare, '\S*[0-9]\S*')) FROM spelled""",
        )
    )
    column = Column(
        name,
        TEXT,
        present,
        row_count - present,
        distinct,
        longest=longest,
        is_coded=values > 0 and not plain,
        placeholders=dict(placeholders),
    )
    should_be, strays = _real_type(db, column, values)
    return replace(column, should_be=should_be, strays=strays)


def _real_type(db: Connection, column: Column, values: int) -> tuple[str | None, int]:
    """The type that all texts have, or all but a few strays; None where text is the truth.

    A leading zero or plus makes a code of a number (a postcode, a telephone number), and a whole number too
    long for the type would lose digits: such columns stay text.
    """
    looks = ", ".join(f"sum(n) FILTER (looks_{kind}(bare))" for kind in LOOKS)
    codes, long, too_long, vague, *counts = _counts(
        single(
            db,
            f"""SELECT sum(n) FILTER (regexp_full_match(bare, '-?0[0-9]+|[+][0-9]+')),
            sum(n) FILTER ({INTEGER} AND length(bare) > 15),
            sum(n) FILTER ({INTEGER} AND TRY_CAST(bare AS BIGINT) IS NULL),
            sum(n) FILTER (regexp_full_match(lower(bare), {literal(VAGUE)})), {looks}
            FROM spelled WHERE NOT is_placeholder""",
        )
    )
    hits = dict(zip(LOOKS, counts, strict=True))
    if codes or too_long:
        hits["BIGINT"] = hits["DOUBLE"] = 0
    if long:
        hits["DOUBLE"] = 0
    best = max(hits, key=lambda kind: hits[kind])
    strays = values - hits[best]
    few = max(1, STRAY_SHARE_MAX * values) if values >= STRAYS_FROM and not column.is_named_code else 0
    if not hits[best] or strays - vague > few:
        return None, 0
    return best, strays


def _counts(sums: tuple[Any, ...]) -> list[int]:
    """SQL's sum of nothing is NULL; ours is 0."""
    return [value or 0 for value in sums]
