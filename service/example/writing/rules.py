"""Learn the rules that the cleaned table keeps, so that the next delivery can be checked against them.

Only what holds for the whole cleaned table becomes a rule, so the table always passes its own rules.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from service.core.tool import JsonObject
from service.example.tables.columns import TEXT, Facts
from service.example.tables.database import Connection, literals

ALLOWED_MAX = 50
"""A column with more distinct texts is not a closed set."""
ALLOWED_SHARE_MAX = 0.1
ALLOWED_ROWS_MIN = 5
"""The fewest rows, on average, for each text of a closed set."""
REFUSED_MAX = 200
READ_AS_MISSING = (
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL",
    "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip
"""Texts that pandas takes for missing cells."""


@dataclass(slots=True)
class Rule:
    """The rule of one column of the cleaned table."""

    column: str
    type: str
    is_required: bool
    is_unique: bool
    allowed: list[str] = field(default_factory=list)
    """All texts of a closed set; empty if the column is not one."""
    refused: list[str] = field(default_factory=list)
    """Texts that were repaired and no longer occur in the column."""
    low: float | None = None
    high: float | None = None
    """The extremes that were seen. A value beyond them is worth a flag but not an error."""
    learnt: JsonObject = field(default_factory=dict)
    hazards: frozenset[str] = frozenset()
    """What pandas would misread in a CSV file of the column.

    It is `missing` if texts look like missing cells, `range` if times lie beyond the range of nanoseconds, and `shapes`
    if times have several forms.
    """

    def as_json(self) -> JsonObject:
        """Return the rule as JSON, without empty parts."""
        found: JsonObject = {"kind": "column", "column": self.column, "type": self.type, "required": self.is_required}
        for key, value in (("unique", self.is_unique), ("allowed", self.allowed), ("refused", self.refused)):
            if value:
                found[key] = value
        if self.low is not None:
            found["seen"] = [self.low, self.high]
        return found | self.learnt


def learn_rules(db: Connection, columns: Sequence[Facts], row_count: int, learnt: dict[int, JsonObject]) -> list[Rule]:
    """Return a rule for each column. The tables `spelled`, `names` and `made` must exist."""
    closed = [
        facts.column
        for facts in columns
        if facts.type == TEXT
        and 0 < facts.distinct <= min(ALLOWED_MAX, ALLOWED_SHARE_MAX * facts.present)
        and facts.present >= ALLOWED_ROWS_MIN * facts.distinct
    ]
    allowed: dict[int, list[str]] = defaultdict(list)
    if closed:
        query = f"SELECT col, value FROM spelled WHERE col IN ({literals(closed)}) ORDER BY col, value"
        for col, value in db.execute(query).fetchall():
            allowed[col].append(value)
    refused = _refused(db)
    hazards = _hazards(db, columns)
    return [
        Rule(
            facts.name,
            facts.type,
            facts.present == row_count,
            facts.present == facts.distinct == row_count and facts.type in (TEXT, "BIGINT"),
            allowed.get(facts.column, []),
            refused.get(facts.column, []),
            *_extremes(facts),
            learnt.get(facts.column, {}),
            hazards.get(facts.column, frozenset()),
        )
        for facts in columns
    ]


def _hazards(db: Connection, columns: Sequence[Facts]) -> dict[int, frozenset[str]]:
    times = [facts.column for facts in columns if facts.type in ("DATE", "TIMESTAMP", "TIMESTAMPTZ")]
    found: dict[int, set[str]] = defaultdict(set)
    query = f"SELECT DISTINCT col FROM spelled WHERE value IN ({literals(READ_AS_MISSING)})"
    for (col,) in db.execute(query).fetchall():
        found[col].add("missing")
    shape = "regexp_replace(regexp_replace(value, '(Z|[+-][0-9:]+)$', ''), '[0-9]+', '9', 'g')"
    rows = db.execute(
        f"""SELECT col, min(value) < '1678' OR max(value) >= '2262', count(DISTINCT {shape}) FROM spelled
        WHERE col IN ({literals(times) or "NULL"}) GROUP BY col"""
    ).fetchall()
    for col, is_far, shapes in rows:
        found[col] |= {name for name, holds in (("range", is_far), ("shapes", shapes > 1)) if holds}
    return {col: frozenset(names) for col, names in found.items()}


def _refused(db: Connection) -> dict[int, list[str]]:
    rows = db.execute(
        f"""SELECT DISTINCT n.col, c.before FROM made AS c JOIN names AS n ON n.name = c."column"
        WHERE c.before IS NOT NULL AND length(c.before) <= 200
        AND NOT EXISTS (SELECT 1 FROM spelled AS s WHERE s.col = n.col AND s.value = c.before)
        QUALIFY row_number() OVER (PARTITION BY n.col ORDER BY c.before) <= {REFUSED_MAX} ORDER BY 1, 2"""
    ).fetchall()
    refused: dict[int, list[str]] = defaultdict(list)
    for col, before in rows:
        refused[col].append(before)
    return refused


def _extremes(facts: Facts) -> tuple[float | None, float | None]:
    return (facts.low, facts.high) if facts.type in ("BIGINT", "DOUBLE") else (None, None)
