"""Judge rows whose values all stand one column too far to the left or to the right.

Such a row lacks its last value or its first. At least half of its values do not fit the column in which they stand, and
every value fits the next column on the empty side. These values are only flagged: the value at the other end of the row
was lost, so the row cannot be repaired.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from service.example.judging.findings import Flag, Judgement, Kind
from service.example.tables.columns import DATE, PLAIN, SCIENTIFIC, Facts
from service.example.tables.database import Connection

COLUMNS_MIN, COLUMNS_MAX = 3, 200
ROWS_MIN = 20
LACKING_SHARE_MAX = 0.2
"""The largest share of rows that may lack a value in the first or last column. If more do, this is usual there."""
CLASS_SHARE = 0.9
MISFITS_MIN = 2
MISFIT_SHARE = 0.5
RATIO = 10
"""A value belongs to the neighbouring column if it occurs this many times more often there than in its own."""
_NUMBER = re.compile(f"{PLAIN}|{SCIENTIFIC}")
_DATE = re.compile(rf"{DATE}.*|\d{{1,2}}[-/.]\d{{1,2}}[-/.]\d{{2,4}}")

Cell = tuple[str | None, int, int]
"""A value, and how often it occurs in its own column and in the column where it may belong."""


def judge_rows(db: Connection, columns: Sequence[Facts], row_count: int) -> Judgement:
    """Judge the rows that lack their first or their last value."""
    found = Judgement()
    if not COLUMNS_MIN <= len(columns) <= COLUMNS_MAX or row_count < ROWS_MIN:
        return found
    classes = [_class(facts) for facts in columns]
    for edge, step in ((columns[-1], 1), (columns[0], -1)):
        if 0 < row_count - edge.present <= LACKING_SHARE_MAX * row_count:
            for row, cells in _rows_without(db, edge.column, step).items():
                if _is_shifted(cells, classes, step):
                    found.flags += _flags(row, [value for value, _, _ in cells], step)
    return found


def _rows_without(db: Connection, column: int, step: int) -> dict[int, list[Cell]]:
    rows = db.execute(
        f"""SELECT r.row, r.value, coalesce(h.n, 0), coalesce(x.n, 0)
        FROM (SELECT row, unnest(cells) AS value, generate_subscripts(cells, 1)::INTEGER AS col FROM input
              WHERE cells[{column}] IS NULL) AS r
        LEFT JOIN spelled AS h ON h.col = r.col AND h.value = r.value
        LEFT JOIN spelled AS x ON x.col = r.col + {step} AND x.value = r.value ORDER BY r.row, r.col"""
    ).fetchall()
    found: dict[int, list[Cell]] = defaultdict(list)
    for row, *cell in rows:
        found[row].append((cell[0], cell[1], cell[2]))
    return found


def _class(facts: Facts) -> str:
    """Return what nearly all texts of a column are: numbers, dates or other texts; empty if they are mixed."""
    numbers, dates = facts.plain + facts.scientific, facts.date + facts.moment + facts.zoned
    least = CLASS_SHARE * facts.present
    if not facts.present:
        return ""
    if facts.present - max(facts.loose + facts.leading_zero, facts.loose_date, numbers, dates) >= least:
        return "text"
    return "number" if numbers >= least else "date" if dates >= least else ""


def _is_shifted(cells: Sequence[Cell], classes: Sequence[str], step: int) -> bool:
    misfits = values = 0
    for place, (value, here, there) in enumerate(cells):
        if value is None or not 0 <= place + step < len(cells):
            continue
        kind = "number" if _NUMBER.fullmatch(value) else "date" if _DATE.fullmatch(value) else "text"
        if classes[place + step] not in ("", kind):
            return False
        values += 1
        misfits += classes[place] not in ("", kind) or there >= RATIO * here
    return misfits >= max(MISFITS_MIN, MISFIT_SHARE * values)


def _flags(row: int, values: Sequence[str | None], step: int) -> list[Flag]:
    side = "left" if step > 0 else "right"
    reason = f"the values of the row stand one column too far {side}: they fit the columns beside theirs"
    return [
        Flag(place + 1, row, value, Kind.SHIFTED, reason) for place, value in enumerate(values) if value is not None
    ]
