"""Sessions of PostgreSQL that stay open between tests: a new one costs ten times as much as a query."""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import ExecStatus, TransactionStatus

KEPT_MAX = 8
_WHERE = ("host", "hostaddr", "port", "dbname", "user", "password", "options")
_kept: dict[str, psycopg.Connection[Any]] = {}
"""Sessions that nobody uses, by the databases and users, the one used last at the end."""
SPARE_MAX = 6
"""Of one database: two stores have as many."""
_spare: dict[str, list[pq.abc.PGconn]] = {}
"""Sessions of stores that have been closed, by the databases and users."""


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
    for place in list(_spare):
        end_spares(place)
    while _kept:
        _kept.popitem()[1].close()


def _is_alive(session: psycopg.Connection[Any]) -> bool:
    return not session.closed and is_quiet(session.fileno())


def take_spare(conninfo: str) -> pq.abc.PGconn | None:
    """Return a session that a store has given back, which is as a new one."""
    spares = _spare.get(_place(conninfo), [])
    while spares:
        spare = spares.pop()
        if is_quiet(spare.socket):
            return spare
        spare.finish()
    return None


def give_back(conninfo: str, session: pq.abc.PGconn) -> pq.abc.PGconn:
    """Keep `session` if it is usable, and return one that is closed for the connection that has used it.

    Otherwise return `session`, which the connection closes: PostgreSQL then rolls back what is open.
    """
    is_usable = session.transaction_status == TransactionStatus.IDLE and is_quiet(session.socket)
    spares = _spare.setdefault(_place(conninfo), [])
    if not is_usable or len(spares) >= SPARE_MAX or session.exec_(b"DISCARD ALL").status != ExecStatus.COMMAND_OK:
        return session
    session.notice_handler = session.notify_handler = None
    spares.append(session)
    return pq.PGconn()


def own_pids() -> list[int]:
    """Return the processes that serve this module's sessions."""
    return [*spare_pids(), *(session.info.backend_pid for session in _kept.values())]


def spare_pids() -> list[int]:
    return [spare.backend_pid for spares in _spare.values() for spare in spares]


def end_spares(conninfo: str) -> None:
    """End the spare sessions of a database."""
    for spare in _spare.pop(_place(conninfo), ()):
        spare.finish()


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
