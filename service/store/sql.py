"""Statements compiled once: a SQLAlchemy expression in, text for the driver out.

The writer runs them on a raw cursor. Parameters are named, so a verb reads like the expression it owns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import ClauseElement
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

_DIALECTS: dict[str, Dialect] = {
    "sqlite": sqlite.dialect(paramstyle="named"),
    "postgresql": postgresql.dialect(paramstyle="pyformat"),  # type: ignore[no-untyped-call]  # untyped there
}


# ON CONFLICT is no standard SQL: each dialect has an `insert` of its own for it, with the same methods.
_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class Statement:
    """One expression, as text for each database that has asked for it.

    One with ON CONFLICT is given as a function of the dialect's own `insert`.
    """

    def __init__(self, expression: ClauseElement | Callable[[Any], ClauseElement]) -> None:
        self._expression = expression
        self._compiled: dict[str, tuple[str, dict[str, Any]]] = {}

    def text(self, dialect: str) -> tuple[str, dict[str, Any]]:
        """The text, and the parameters whose values the expression itself fixed."""
        found = self._compiled.get(dialect)
        if found is None:
            expression = self._expression
            if not isinstance(expression, ClauseElement):
                expression = expression(_INSERTS[dialect])
            compiled = expression.compile(dialect=_DIALECTS[dialect])
            fixed = {name: value for name, value in compiled.params.items() if value is not None}
            found = self._compiled[dialect] = (str(compiled), fixed)
        return found
