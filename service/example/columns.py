"""What is known about a column: the facts that `profile` measures and every later step judges by.

Also the types that text can turn out to hold, and how each looks: one table for measuring and for casting.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from service.core.tool import JsonObject

TEXT = "VARCHAR"
NUMERIC = ("BIGINT", "DOUBLE")

INTEGER = "regexp_full_match(bare, '-?(0|[1-9][0-9]*)')"
_NUMBER = r"regexp_full_match(bare, '-?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?')"
_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_MOMENT = _DAY + r"[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"

LOOKS: dict[str, str] = {
    "BOOLEAN": "lower(bare) IN ('true', 'false')",
    "BIGINT": f"({INTEGER} AND TRY_CAST(bare AS BIGINT) IS NOT NULL)",
    "DOUBLE": f"({_NUMBER} AND isfinite(TRY_CAST(bare AS DOUBLE)))",
    "DATE": f"(regexp_full_match(bare, '{_DAY}') AND TRY_CAST(bare AS DATE) IS NOT NULL)",
    "TIMESTAMP": f"(regexp_full_match(bare, '{_MOMENT}') AND TRY_CAST(bare AS TIMESTAMP) IS NOT NULL)",
    "TIMESTAMPTZ": f"(regexp_full_match(bare, '{_MOMENT}(Z|[+-][0-9]{{2}}:?[0-9]{{2}})')"
    " AND TRY_CAST(bare AS TIMESTAMPTZ) IS NOT NULL)",
}
"""Type → whether `bare` (a text without the space around it) is a value of it. Other ways to write a date are
ambiguous (3/4/2013), and stay text."""

TYPES = (TEXT, *LOOKS)

_KEY_NAME = re.compile(r"(^|[\W_])(id|key|uuid|guid)$", re.IGNORECASE)
_CODE_NAME = re.compile(r"(^|[\W_])(code|no|nr|number|zip|zipcode|postcode|phone|isbn|iban)$", re.IGNORECASE)
_CAMEL_KEY_NAME = re.compile(r"[a-z](Id|ID|Key|UUID)$")


def bare(expression: str) -> str:
    """The expression's text without the space around it."""
    return f"trim({expression}, ' ' || chr(9) || chr(10) || chr(13) || chr(160))"


@dataclass(frozen=True, slots=True)
class Column:
    """The facts about one column of the current table."""

    name: str
    type: str
    present: int
    """Cells that are not NULL, placeholders included."""
    missing: int
    distinct: int
    longest: int = 0
    """Characters of the longest text."""
    is_coded: bool = False
    """Every text is one word with a digit in it, as in a registration number."""
    placeholders: dict[str, int] | None = None
    """Texts that stand for nothing, as they are spelled, and how often."""
    should_be: str | None = None
    """The type that the texts really hold."""
    strays: int = 0
    """Texts that are no value of that type."""
    low: float | None = None
    q1: float | None = None
    median: float | None = None
    q3: float | None = None
    high: float | None = None
    mad: float | None = None
    """Median absolute deviation from the median."""

    @classmethod
    def of(cls, data: JsonObject) -> Column:
        return cls(**data)

    def as_json(self) -> JsonObject:
        """The facts without those that say nothing."""
        nothing: list[Any] = [None, {}]
        return {key: value for key, value in asdict(self).items() if value not in nothing}

    @property
    def is_named_key(self) -> bool:
        """Whether the name says that each value names one row."""
        return bool(_KEY_NAME.search(self.name) or _CAMEL_KEY_NAME.search(self.name))

    @property
    def is_named_code(self) -> bool:
        """Whether the name says that values are names, and not measures, whatever they look like."""
        return self.is_named_key or bool(_CODE_NAME.search(self.name))

    @property
    def names_things(self) -> bool:
        """Whether values name things, each its own: such are never merged or made up."""
        rarely_repeats = self.present >= 20 and self.distinct >= 0.95 * self.present
        return self.is_named_code or (self.type in (TEXT, "BIGINT") and rarely_repeats)


def columns_of(state: dict[str, Any]) -> list[Column]:
    """The columns as the last profile saw them."""
    return [Column.of(data) for data in state["columns"]]
