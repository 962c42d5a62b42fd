"""What a database lacks of what our statements name: asked when one of them has failed for that, and by readiness.

It tells a fault of ours, a statement that is wrong, from tables that somebody has taken away or that are not visible.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import text

from service.core.errors import Unavailable
from service.store.database.protocol import Database
from service.store.database.statements import Statement
from service.store.database.transaction import Transaction
from service.store.schema.models import metadata

logger = logging.getLogger(__name__)

NAMES_MAX = 3
"""Names in a reason; of more it says how many there are."""

_WANTED = ", ".join(f"('{table.name}', '{column.name}')" for table in metadata.sorted_tables for column in table.c)

_LACKING = {
    "sqlite": f"""\
WITH wanted (name, field) AS (VALUES {_WANTED})
SELECT name, CASE WHEN EXISTS (SELECT 1 FROM pragma_table_info(wanted.name)) THEN field END FROM wanted
WHERE NOT EXISTS (SELECT 1 FROM pragma_table_info(wanted.name) AS there WHERE there.name = wanted.field)
ORDER BY 1, 2""",
    "postgresql": f"""\
WITH wanted (name, field) AS (VALUES {_WANTED})
SELECT wanted.name, CASE WHEN to_regclass(wanted.name) IS NULL THEN NULL ELSE wanted.field END FROM wanted
WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_attribute AS there
    WHERE there.attrelid = to_regclass(wanted.name) AND there.attname = wanted.field AND NOT there.attisdropped)
ORDER BY 1, 2""",
}
LACKING = {dialect: text(query) for dialect, query in _LACKING.items()}
"""By dialect: each column that is not there, with NULL for its name where its table is not there either."""
_STATEMENTS = {dialect: Statement(query) for dialect, query in LACKING.items()}


def lacking(transaction: Transaction) -> Sequence[Any]:
    """The rows of LACKING."""
    return transaction.all(_STATEMENTS[transaction.dialect])


def refusal(database: Database, error: BaseException, look: Callable[[], Sequence[Any]]) -> BaseException:
    """What whoever waits for a write is told of `error`: Unavailable, or the error itself where it is a fault of ours.

    `look` finds the rows of LACKING.
    """
    if not isinstance(error, database.errors):
        return error
    obstacles: tuple[type[Exception], ...] = (OSError, *database.errors)
    because = database.denial(error)
    if because is None and database.may_lack(error):
        try:
            because = reason(database, look())
        except obstacles:
            because = f"{database.name} lacks what it had"
        if because is None:
            return error
    if because is None and isinstance(error, database.bugs):
        return error
    logger.warning("a write failed: %s", because or error)
    # Of any other error of a server's a client learns nothing: it names hosts, users and tables.
    return Unavailable(because or ("the database refused a write" if database.is_shared else str(error)))


def reason(database: Database, rows: Sequence[Any]) -> str | None:
    """What `database` lacks, by rows of LACKING; None where it lacks nothing."""
    tables = list(dict.fromkeys(name for name, column in rows if column is None))
    columns = [f"{name}.{column}" for name, column in rows if column is not None]
    if not tables and not columns:
        return None
    kind, names = ("table", tables) if tables else ("column", columns)
    more = f" and {len(names) - NAMES_MAX} more" if len(names) > NAMES_MAX else ""
    which = ", ".join(names[:NAMES_MAX]) + more
    return (
        f"{database.name} lacks the {kind}{'s' if len(names) > 1 else ''} {which}, or hides them from this server:"
        " bring them back, or start the server anew, which makes empty ones where there are none"
    )
