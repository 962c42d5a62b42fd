"""Values that cannot belong to their column, told from values that are merely rare.

A value is an outlier where two things hold together:

1. It lies beyond the far fence: 3 IQR outside the quartiles (Tukey, Exploratory Data Analysis, 1977, "far
   out") and beyond a modified z-score of 3.5 (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993),
   whichever is farther. The second widens the fence where the quartiles are narrow.
2. Few values do: where more lie there than FEW and 0.1 %, the tail is the column's shape (delays, prices,
   incomes, the longest flights).

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
FEW = 10
FEW_SHARE = 0.001


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
    low, high = fence
    if column.type == "BIGINT":
        low, high = max(math.floor(low), -(2**63)), min(math.ceil(high), 2**63 - 1)
    cell = quote(column.name)
    (outliers,) = single(db, f"SELECT count(*) FROM input WHERE {cell} NOT BETWEEN {low!r} AND {high!r}")
    few = max(FEW, FEW_SHARE * column.present)
    return Range(low, high, outliers) if 0 < outliers <= few else None


def _fence(column: Column) -> tuple[float, float] | None:
    """The far fence on both sides; None where the column cannot be judged."""
    numbers = (column.q1, column.median, column.q3, column.mad)
    if column.type not in NUMERIC or column.is_named_code or column.present < VALUES_MIN or None in numbers:
        return None
    q1, median, q3, mad = (float(number or 0) for number in numbers)
    iqrs, deviations = FAR_IQRS * (q3 - q1), FAR_Z_SCORE * mad / MAD_PER_SIGMA
    low, high = min(q1 - iqrs, median - deviations), max(q3 + iqrs, median + deviations)
    return (low, high) if low < high and math.isfinite(low) and math.isfinite(high) else None
