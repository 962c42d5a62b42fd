"""Values that cannot belong to their column, told from values that are merely rare.

A value is an outlier only where three things hold together:

1. It lies beyond the far fence: 3 IQR outside the quartiles (Tukey, Exploratory Data Analysis, 1977, "far
   out") and beyond a modified z-score of 3.5 (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993),
   whichever is farther. The second widens the fence where the quartiles are narrow.
2. Few values do. Where more than 1 % lie there, the tail is the column's shape (delays, prices, incomes).
3. It is cut off: a gap as wide as the fence lies between it and the values nearer to the middle. A tail that
   goes on value by value belongs to the column, as the oldest aircraft and the longest flights do.

Without spread (more than half of the values are the same) nothing can be said, and nothing is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from service.example.columns import NUMERIC, Column
from service.example.database import Connection, quote, single

VALUES_MIN = 8
FAR_IQRS = 3.0
FAR_Z_SCORE = 3.5
MAD_PER_SIGMA = 0.6745
SHAPE_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Range:
    """Where a column's values may lie, and how many do not."""

    low: float
    high: float
    outliers: int


def find_range(db: Connection, column: Column) -> Range | None:
    """The range that leaves out the column's outliers; None where it has none."""
    fence = _fence(column)
    if fence is None:
        return None
    low, high, gap = fence
    cell = quote(column.name)
    below, above, inner_low, inner_high = single(
        db,
        f"""SELECT count(*) FILTER ({cell} < {low!r}), count(*) FILTER ({cell} > {high!r}),
        min({cell}::DOUBLE) FILTER ({cell} >= {low!r}), max({cell}::DOUBLE) FILTER ({cell} <= {high!r})
        FROM input""",
    )
    if not 0 < below + above <= max(2, SHAPE_SHARE * column.present):
        return None
    far = f"SELECT DISTINCT {cell}::DOUBLE AS value FROM input WHERE {cell}"
    rising = [value for (value,) in db.execute(f"{far} > {high!r} ORDER BY value").fetchall()]
    falling = [value for (value,) in db.execute(f"{far} < {low!r} ORDER BY value DESC").fetchall()]
    accepted_high = max(high, _last_before_gap(inner_high, rising, gap))
    accepted_low = min(low, _last_before_gap(inner_low, falling, gap))
    return _range(db, column, accepted_low, accepted_high)


def _fence(column: Column) -> tuple[float, float, float] | None:
    """The far fence on both sides and its distance; None where the column cannot be judged."""
    numbers = (column.q1, column.median, column.q3, column.mad)
    if column.type not in NUMERIC or column.is_named_code or column.present < VALUES_MIN or None in numbers:
        return None
    q1, median, q3, mad = (float(number or 0) for number in numbers)
    iqrs, deviations = FAR_IQRS * (q3 - q1), FAR_Z_SCORE * mad / MAD_PER_SIGMA
    gap = max(iqrs, deviations)
    low, high = min(q1 - iqrs, median - deviations), max(q3 + iqrs, median + deviations)
    return (low, high, gap) if gap > 0 and math.isfinite(low) and math.isfinite(high) else None


def _last_before_gap(inner: float, outward: list[float], gap: float) -> float:
    """The last of the values, going outward, that no gap separates from the one before."""
    for value in outward:
        if abs(value - inner) > gap:
            break
        inner = value
    return inner


def _range(db: Connection, column: Column, low: float, high: float) -> Range | None:
    if column.type == "BIGINT":
        low, high = max(math.floor(low), -(2**63)), min(math.ceil(high), 2**63 - 1)
    cell = quote(column.name)
    (outliers,) = single(db, f"SELECT count(*) FROM input WHERE {cell} NOT BETWEEN {low!r} AND {high!r}")
    return Range(low, high, outliers) if outliers else None
