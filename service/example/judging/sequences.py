"""Judge dates that do not exist in a column of dates that follow one another in equal steps.

Such a column decides each of its cells: the day before it and the day after it leave one day between them.
"""

from __future__ import annotations

from service.example.judging.findings import Judgement, Kind, Repair
from service.example.tables.columns import DATE, Facts
from service.example.tables.database import Connection

STEPS = ("1 DAY", "7 DAYS", "1 MONTH", "3 MONTHS", "1 YEAR")
PAIRS_MIN = 20
SHARE_MIN = 0.95
"""The least share of neighbouring days that must be one step apart."""


def judge_sequence(db: Connection, facts: Facts) -> Judgement:
    """Judge the dates of a column that do not exist."""
    found = Judgement()
    before, after = (
        "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING",
        "ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING",
    )
    db.execute(
        f"""CREATE OR REPLACE TEMP TABLE days AS
        SELECT *, last_value(day IGNORE NULLS) OVER (ORDER BY n {before}) AS before,
            first_value(day IGNORE NULLS) OVER (ORDER BY n {after}) AS after,
            n - max(n) FILTER (day IS NOT NULL) OVER (ORDER BY n {before}) AS since,
            min(n) FILTER (day IS NOT NULL) OVER (ORDER BY n {after}) - n AS ahead
        FROM (SELECT row, row_number() OVER (ORDER BY row) AS n, cells[{facts.column}] AS value,
            TRY_CAST(cells[{facts.column}] AS DATE) AS day FROM input)"""
    )
    for step in (f"INTERVAL '{sign}{step}'" for step in STEPS for sign in ("", "-")):
        pairs, regular = db.execute(
            f"SELECT count(*), count(*) FILTER (before + {step} = day) FROM days WHERE since = 1 AND day IS NOT NULL"
        ).fetchall()[0]
        if pairs < PAIRS_MIN or regular < SHARE_MIN * pairs:
            continue
        rows = db.execute(
            f"""SELECT row, value, (before + since * {step})::DATE::VARCHAR FROM days
            WHERE day IS NULL AND before + (since + ahead) * {step} = after AND regexp_full_match(value, '{DATE}')
            ORDER BY row"""
        ).fetchall()
        evidence = (
            f"there is no such date, and it is the only day between those before and after it; {regular:,} of"
            f" {pairs:,} dates follow in this step"
        )
        found.repairs += [Repair(facts.column, row, value, day, Kind.SEQUENCE, evidence) for row, value, day in rows]
        break
    return found
