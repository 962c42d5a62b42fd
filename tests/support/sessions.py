"""Sessions of PostgreSQL for what a test itself asks. They stay open: a new one costs ten times as much as a query."""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

KEPT_MAX = 8
_WHERE = ("host", "hostaddr", "port", "dbname", "user", "password", "options")
_kept: dict[str, psycopg.Connection[Any]] = {}
"""Sessions that nobody uses, by the databases and users, the one used last at the end."""


@contextmanager
def kept_session(conninfo: str) -> Iterator[psycopg.Connection[Any]]:
    """Lend a session in autocommit mode to one user at a time. What a user sets in it stays: use `SET LOCAL`."""
    place = _place(conninfo)
    found = _kept.pop(place, None)
    if found is not None and not _is_alive(found):
        found.close()
        found = None
    # Without prepared statements, since tests change tables.
    session = found or psycopg.connect(place, autocommit=True, prepare_threshold=None)
    try:
        yield session
    finally:
        if session.info.transaction_status is TransactionStatus.IDLE and place not in _kept:
            _kept[place] = session
        else:
            session.close()
        if len(_kept) > KEPT_MAX:
            _kept.pop(next(iter(_kept))).close()


def close_kept_sessions() -> None:
    """Close all sessions that nobody uses."""
    while _kept:
        _kept.popitem()[1].close()


def _is_alive(session: psycopg.Connection[Any]) -> bool:
    return not session.closed and is_quiet(session.fileno())


def is_quiet(socket: int) -> bool:
    """Return whether the server has sent nothing unasked: that would say that it has ended the session."""
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return not poll.poll(0)


@cache
def _place(conninfo: str) -> str:
    """Return the parts of a connection string that say where and as whom to connect."""
    given = conninfo_to_dict(conninfo)
    where = {name: str(given[name]) for name in _WHERE if name in given}
    return make_conninfo("", application_name="tests", **where)
