"""Finds the database that a URL names."""

from __future__ import annotations

import re

from service.core.errors import StartRefused
from service.store.database.protocol import Database
from service.store.database.sqlite.connections import Sqlite

_SQLITE = re.compile(r"sqlite(?:\+\w+)?:///([^?@%]+)")
"""The usual URLs of files, which are understood without SQLAlchemy: it is slow to import."""


def database_at(url: str, *, allow_undurable: bool = False, source: str = "RUNGRAPH_DATABASE_URL") -> Database:
    """Return the database that `url` names. Raise StartRefused if there is none that we can use.

    `allow_undurable` accepts a PostgreSQL server that may lose acknowledged commits. `source` says where the URL comes
    from, for error messages.
    """
    try:
        return _database_at(url, allow_undurable)
    except StartRefused as refused:
        raise StartRefused(f"{source}: {refused}") from refused


def _database_at(url: str, allow_undurable: bool) -> Database:
    scheme = url.partition(":")[0]
    if scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        try:
            from service.store.database.postgres.connections import Postgres  # the driver is an extra
        except ImportError as error:
            raise StartRefused(f"PostgreSQL needs its driver: pip install 'rungraph[postgres]' ({error})") from error
        return Postgres.at("postgresql:" + url.partition(":")[2], allow_undurable=allow_undurable)
    if usual := _SQLITE.fullmatch(url):
        return Sqlite.at(usual[1])
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StartRefused(_no_url(url)) from error
    if parsed.get_backend_name() != "sqlite":
        raise StartRefused(
            f"no database of the kind {parsed.drivername!r}; use sqlite+aiosqlite:///PATH or postgresql://HOST/NAME"
        )
    return Sqlite.at(parsed.database)


def _no_url(text: str) -> str:
    # A text that may hold a password is not quoted.
    if "@" in text or ":" in text:
        return "this is no database URL; use sqlite:///PATH or postgresql://HOST/NAME"
    return f"{text!r:.200} is no database URL; of a file it is sqlite:///{text:.200}"
