"""The rules that the cleaned table keeps, learnt from what is clean in it, for the next delivery to be held against.

Only what holds for the whole cleaned table becomes a rule: so it always passes its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from service.core.tool import JsonObject
from service.example.tables.columns import TEXT, Facts
from service.example.tables.database import Connection, literals

ALLOWED_MAX = 50
"""A column with more different texts than this is no closed set."""
ALLOWED_SHARE_MAX = 0.1
ALLOWED_ROWS_MIN = 5
"""Each text of a closed set stands in so many rows on average."""
REFUSED_MAX = 200


@dataclass(slots=True)
class Rule:
    """What holds for one column of the cleaned table."""

    column: str
    type: str
    is_required: bool
    is_unique: bool
    allowed: list[str] = field(default_factory=list)
    """All texts of a closed set; empty: it is none."""
    refused: list[str] = field(default_factory=list)
    """Texts that were mended, and stand nowhere in the column any more."""
    low: float | None = None
    high: float | None = None
    """The extremes that were seen; beyond them is a flag, and no error."""
    learnt: JsonObject = field(default_factory=dict)

    def as_json(self) -> JsonObject:
        """The rule without what says nothing."""
        found: JsonObject = {"kind": "column", "column": self.column, "type": self.type, "required": self.is_required}
        for key, value in (("unique", self.is_unique), ("allowed", self.allowed), ("refused", self.refused)):
            if value:
                found[key] = value
        if self.low is not None:
            found["seen"] = [self.low, self.high]
        return found | self.learnt


def learn_rules(db: Connection, columns: Sequence[Facts], row_count: int, learnt: dict[int, JsonObject]) -> list[Rule]:
    """A rule for each column, two queries for all of them; `spelled` and `changes` are there."""
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
        )
        for facts in columns
    ]


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
