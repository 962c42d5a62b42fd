"""Measure the facts about a column, on which all judging is based."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from service.core.tool import JsonObject
from service.example.tables.database import Connection, bare, literals

TEXT = "VARCHAR"
DIGITS_EXACT = 15
"""The number of significant digits that a double always holds."""

NUMBERS_MIN = 5
"""The fewest numbers whose spread is measured."""
PLAIN = r"[+-]?(0|[1-9][0-9]*)(\.[0-9]+)?|[+-]?\.[0-9]+"
INTEGER = "0|-?[1-9][0-9]{0,17}"
"""An integer that BIGINT holds without loss. The pattern excludes -0, which BIGINT would turn into 0."""
SCIENTIFIC = r"[+-]?[0-9]\.[0-9]+[eE][+-]?[0-9]{1,3}|[+-]?[0-9](\.[0-9]+)?[eE]-[0-9]{1,3}|[+-]?[0-9][eE][+][0-9]{1,3}"
"""A number with an exponent. It must have a point or a signed exponent, unlike an article number such as 12E3."""
LEADING_ZERO = "-?0[0-9]+"
LOOSE = (
    r"[-+(−]?\s*([$€£¥₹]|[A-Z]{1,2}[$€£¥₹]|USD|EUR|GBP|CHF|JPY|CAD|AUD)?\s*"
    r"[-+−]?[0-9]([0-9.,'’\x{a0}\x{202f} ]*[0-9.])?\s*"
    r"([%‰°€£$¥₹]|[A-Za-zµ°][A-Za-z0-9µ²³/.°% -]{0,29})?\)?"
)
"""A possible number with a currency, separators or a unit; a quick filter before texts are parsed in detail."""
DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
MOMENT = DATE + r"[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
ZONED = MOMENT + "(Z|[+-][0-9]{2}(:?[0-9]{2})?)"
LOOSE_DATE = (
    r"[0-9]{1,4}[-/. ][0-9]{1,2}[-/. ][0-9]{1,4}([T ,].{0,20})?"
    r"|[0-9]{1,2}(st|nd|rd|th)?[-/. ]?[A-Za-z]{3,9}[-/., ]+[0-9]{2,4}|[A-Za-z]{3,9}\.? [0-9]{1,2},? [0-9]{2,4}"
)
LOOSE_TIME = r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?\s*([AaPp]\.?[Mm]\.?)?"
WORDS = ("true", "false", "yes", "no", "t", "f", "y", "n")
"""Words for yes and no."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts about one column of the current table. Counts are numbers of cells unless stated otherwise."""

    column: int
    """The number of the column, from 1."""
    name: str
    present: int = 0
    distinct: int = 0
    longest: int = 0
    plain: int = 0
    integer: int = 0
    scientific: int = 0
    numbers: int = 0
    """Distinct numbers. They are fewer than the distinct texts if two texts are one number, such as 1.1 and 1.10."""
    plain_texts: int = 0
    long: int = 0
    """Numbers with more digits than a double holds."""
    leading_zero: int = 0
    loose: int = 0
    date: int = 0
    moment: int = 0
    zoned: int = 0
    loose_date: int = 0
    loose_time: int = 0
    boolean: int = 0
    """The texts true and false."""
    word: int = 0
    words: int = 0
    """Distinct words for yes and no."""
    low: float | None = None
    q1: float | None = None
    median: float | None = None
    q3: float | None = None
    high: float | None = None
    mad: float | None = None
    """Median absolute deviation from the median."""

    @classmethod
    def of(cls, data: JsonObject) -> Facts:
        return cls(**data)

    def as_json(self) -> JsonObject:
        """Return the facts as JSON, without those that are None and without counts of 0."""
        counted = asdict(self).items()
        return {key: value for key, value in counted if value is not None and (value or isinstance(value, float))}

    @property
    def is_numeric(self) -> bool:
        """Whether nine tenths of the texts are numbers, and none is a code with leading zeros."""
        return self.present > 0 and not self.leading_zero and self.plain + self.scientific >= 0.9 * self.present

    @property
    def type(self) -> str:
        """The SQL type that holds every value of the column without loss; VARCHAR if no other type does."""
        if not self.present or self.leading_zero:
            return TEXT
        for kind, count in (("DATE", self.date), ("TIMESTAMP", self.moment), ("TIMESTAMPTZ", self.zoned)):
            if count == self.present:
                return kind
        if self.integer == self.present:
            return "BIGINT"
        exact = not self.long and self.numbers == self.plain_texts
        if self.plain + self.scientific == self.present and exact:
            return "DOUBLE"
        return "BOOLEAN" if self.boolean == self.present else TEXT


def make_values(db: Connection, columns: Iterable[int] | None = None, table: str = "input") -> None:
    """Make the temporary table `spelled`: the distinct texts of each column, their counts, and the trimmed texts.

    If `columns` is None, the table covers all columns.
    """
    chosen = "" if columns is None else f"WHERE col IN ({literals(columns) or 'NULL'})"
    db.execute(
        f"""CREATE OR REPLACE TEMP TABLE spelled AS
        SELECT col, value, n, {bare("value")} AS bare FROM (
            SELECT col, value, count(*) AS n
            FROM (SELECT unnest(cells) AS value, generate_subscripts(cells, 1)::INTEGER AS col FROM {table})
            {chosen} GROUP BY ALL)
        WHERE value IS NOT NULL"""
    )


def measure(db: Connection, names: list[str], columns: list[int]) -> dict[int, Facts]:
    """Return the facts of some columns, by number of the column. A few queries measure all of these columns."""
    make_values(db, columns)

    def full(pattern: str) -> str:
        return f"regexp_full_match(bare, '{pattern.replace(chr(39), chr(39) * 2)}')"

    number = "CASE WHEN is_plain THEN TRY_CAST(bare AS DOUBLE) END"
    digits = r"length(regexp_replace(bare, '[^0-9]|^-?0*\.?0*', '', 'g'))"
    sums = {
        "present": "sum(n)",
        "distinct": "count(*)",
        "longest": "max(length(value))",
        "plain": "sum(n) FILTER (is_plain)",
        "integer": f"sum(n) FILTER ({full(INTEGER)})",
        "scientific": f"sum(n) FILTER ({full(SCIENTIFIC)})",
        "numbers": f"count(DISTINCT {number})",
        "plain_texts": "count(DISTINCT bare) FILTER (is_plain)",
        "long": f"sum(CASE WHEN is_plain AND length(bare) > {DIGITS_EXACT} AND {digits} > {DIGITS_EXACT} THEN n END)",
        "leading_zero": f"sum(n) FILTER ({full(LEADING_ZERO)})",
        "loose": f"sum(n) FILTER (is_plain OR {full(LOOSE)})",
        "date": f"sum(n) FILTER ({full(DATE)} AND TRY_CAST(bare AS DATE) IS NOT NULL)",
        "moment": f"sum(n) FILTER ({full(MOMENT)} AND TRY_CAST(bare AS TIMESTAMP) IS NOT NULL)",
        "zoned": f"sum(n) FILTER ({full(ZONED)} AND TRY_CAST(bare AS TIMESTAMPTZ) IS NOT NULL)",
        "loose_date": f"sum(n) FILTER ({full(LOOSE_DATE)})",
        "loose_time": f"sum(n) FILTER ({full(LOOSE_TIME)})",
        "boolean": "sum(n) FILTER (bare IN ('true', 'false'))",
        "word": f"sum(n) FILTER (lower(bare) IN ({literals(WORDS)}))",
        "words": f"count(*) FILTER (lower(bare) IN ({literals(WORDS)}))",
    }
    counts = ", ".join(f"coalesce({expression}, 0)::BIGINT" for expression in sums.values())
    rows = db.execute(
        f"SELECT col, {counts} FROM (SELECT *, {full(PLAIN)} AS is_plain FROM spelled) GROUP BY col"
    ).fetchall()
    found = {column: Facts(column, names[column - 1]) for column in columns}
    found |= {col: Facts(col, names[col - 1], **dict(zip(sums, row, strict=True))) for col, *row in rows}
    return _with_spread(db, found)


def _with_spread(db: Connection, found: dict[int, Facts]) -> dict[int, Facts]:
    """Add the extremes, quartiles and median deviation of the numbers in each column with at least NUMBERS_MIN."""
    numeric = [
        facts.column
        for facts in found.values()
        if facts.plain + facts.scientific >= NUMBERS_MIN and not facts.leading_zero
    ]
    if not numeric:
        return found
    rows: list[tuple[Any, ...]] = db.execute(
        f"""SELECT col, min(x), max(x), mad(x), quantile_cont(x, [0.25, 0.5, 0.75]) FROM (
            SELECT col, TRY_CAST(value AS DOUBLE) AS x
            FROM (SELECT unnest(cells) AS value, generate_subscripts(cells, 1)::INTEGER AS col FROM input)
            WHERE col IN ({literals(numeric)}))
        WHERE isfinite(x) GROUP BY col"""
    ).fetchall()
    for col, low, high, mad, (q1, median, q3) in rows:
        numbers = dict(zip(("low", "high", "mad", "q1", "median", "q3"), (low, high, mad, q1, median, q3), strict=True))
        kept = {key: value for key, value in numbers.items() if abs(value) < float("inf")}
        found[col] = Facts(**{**asdict(found[col]), **kept})
    return found
