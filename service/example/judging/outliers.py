"""Find outliers: numbers that probably do not belong to their column, as opposed to merely rare ones.

A value is an outlier if both of these hold:

1. It lies beyond the far fence: 3 IQR outside the quartiles (Tukey, Exploratory Data Analysis, 1977, "far
   out") and beyond a modified z-score of 3.5 (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993),
   whichever is farther. The second widens the fence where the quartiles are narrow.
2. Few values lie beyond the fence. If more than FEW and more than 0.1 % do, the tail belongs to the column's
   distribution (delays, prices, incomes, the longest flights).

Unless the caller allows its removal, an outlier is only flagged, since it may be a true extreme value. A column without
spread cannot be judged. The fence is measured once, on the first table that shows the column's numbers, and not again
after values were removed.
"""

from __future__ import annotations

import math

from service.example.tables.columns import Facts

VALUES_MIN = 8
FAR_IQRS = 3.0
FAR_Z_SCORE = 3.5
MAD_PER_SIGMA = 0.6745
FEW = 10
FEW_SHARE = 0.001


def fence(facts: Facts) -> tuple[float, float] | None:
    """Return the far fence on both sides, or None if the column cannot be judged."""
    numbers = (facts.q1, facts.median, facts.q3, facts.mad)
    if not facts.is_numeric or facts.present < VALUES_MIN or None in numbers:
        return None
    q1, median, q3, mad = (float(number or 0) for number in numbers)
    iqrs, deviations = FAR_IQRS * (q3 - q1), FAR_Z_SCORE * mad / MAD_PER_SIGMA
    low, high = min(q1 - iqrs, median - deviations), max(q3 + iqrs, median + deviations)
    return (low, high) if low < high and math.isfinite(low) and math.isfinite(high) else None


def few(facts: Facts) -> float:
    """Return the most cells that can be outliers. If more lie beyond the fence, they belong to the distribution."""
    return max(FEW, FEW_SHARE * facts.present)
