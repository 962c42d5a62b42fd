"""Connections to DuckDB, and the quoting of names and values in SQL.

A session serves one step and can open files in the run's folder only. Names and values of columns come from users,
and a client may post any state. Their texts enter SQL only through `quote` and `literal`. If one entered unquoted, the
connection still could not open any other file.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock, Semaphore
from typing import TYPE_CHECKING, Any

from service.example.tables.files import draft_in, inside, replacing
from service.memory import memory_bytes

if TYPE_CHECKING:
    # The steps import DuckDB when they run: a server whose runs do not use the example starts without it.
    from duckdb import DuckDBPyConnection

    Connection = DuckDBPyConnection
else:
    Connection = Any

MEMORY_BYTES_MAX = 512 << 20
"""The most memory of one instance of DuckDB. It puts what does not fit into temporary files."""
SESSIONS_MAX = max(2, os.cpu_count() or 1)
"""How many steps use DuckDB at a time, if there is memory for so many; others wait."""
SESSION_BYTES = 256 << 20
"""For each SESSION_BYTES of its memory, the process may have one session. A session uses half of that."""
THREADS = 2
LINE_BYTES_MAX = 32 << 20
KEPT_MAX = 4
"""The most instances that are kept between steps."""
_kept: dict[tuple[int, Path], tuple[Connection, Path]] = {}
"""The instances that no step uses, with their folders for temporary files; those of a parent process stay untouched."""
_lock = Lock()


@cache
def _turns() -> tuple[Semaphore, int]:
    """Return what admits as many sessions as may be open at a time, and the memory of each in bytes."""
    memory = memory_bytes()
    count = min(max(memory // SESSION_BYTES, 1), SESSIONS_MAX)
    return Semaphore(count), min(memory // (2 * count), MEMORY_BYTES_MAX)


@contextmanager
def database(folder: Path) -> Iterator[Connection]:
    """Yield an empty database that can access only `folder`, where it also puts its temporary files.

    To open an instance of DuckDB takes longer than most queries of a small table. So the instance of a step that has
    succeeded is kept for the run's next step, and each step has a session of its own, which takes its tables with it.
    """
    key = (os.getpid(), folder)
    turns, memory = _turns()
    with turns:
        with _lock:
            instance, spill = _kept.pop(key, None) or (None, draft_in(folder, "spill"))
        if instance is None:
            instance = _open(folder, spill, memory)
        try:
            with instance.cursor() as session:
                yield session
        except BaseException:
            _close(instance, spill)
            raise
        _keep(key, instance, spill)


def _open(folder: Path, spill: Path, memory: int) -> Connection:
    import duckdb

    instance = duckdb.connect(":memory:", config={"threads": THREADS, "memory_limit": f"{memory}B"})
    for setting in (
        f"temp_directory = {literal(str(spill))}",
        "GLOBAL TimeZone = 'UTC'",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        f"allowed_directories = [{literal(str(folder))}]",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        instance.execute(f"SET {setting}")
    return instance


def _keep(key: tuple[int, Path], instance: Connection, spill: Path) -> None:
    """Keep an instance for the next step, unless it has spilled: then it holds memory and files."""
    with _lock:
        replaced = _kept.pop(key, None)
        has_spilled = spill.exists()
        if not has_spilled:
            _kept[key] = instance, spill
        closed = [replaced] if replaced else []
        while len(_kept) > KEPT_MAX:
            closed.append(_kept.pop(next(iter(_kept))))
    if has_spilled:
        closed.append((instance, spill))
    for each in closed:
        _close(*each)


def forget(folder: Path) -> None:
    """Close the instance that is kept for a folder, at the end of its run."""
    with _lock:
        kept = _kept.pop((os.getpid(), folder), None)
    if kept:
        _close(*kept)


def _close(instance: Connection, spill: Path) -> None:
    instance.close()
    shutil.rmtree(spill, ignore_errors=True)


@contextmanager
def opened(folder: Path, table: str) -> Iterator[Connection]:
    """Yield a database whose view `input` shows a table file: `row`, from 1, and `cells`, a list of texts."""
    with database(folder) as db:
        db.execute(f"CREATE TEMP VIEW input AS FROM {parquet(inside(folder, table))}")
        yield db


def parquet(path: Path) -> str:
    """Return a FROM clause for the rows of a Parquet file."""
    return f"read_parquet({literal(str(path))})"


def write(db: Connection, query: str, path: Path, options: str = "FORMAT parquet") -> None:
    """Write a query's rows to a file atomically."""
    with replacing(path) as draft:
        db.execute(f"COPY ({query}) TO {literal(str(draft))} ({options})")


def load(db: Connection, folder: Path, table: str, columns: dict[str, str], rows: Iterable[Sequence[Any]]) -> None:
    """Make a temporary table of `rows` through a file, which is much faster than inserting them one by one.

    None and empty texts become NULL.
    """
    draft = draft_in(folder, table)
    types = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in columns.items())
    try:
        with draft.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
        db.execute(
            f"""CREATE TEMP TABLE {quote(table)} AS FROM read_csv({literal(str(draft))}, auto_detect=false,
            header=false, delim=',', quote='"', escape='"', new_line='\\n', nullstr='', allow_quoted_nulls=true,
            max_line_size={LINE_BYTES_MAX}, buffer_size={2 * LINE_BYTES_MAX}, parallel=false, columns={{{types}}})"""
        )
    finally:
        draft.unlink(missing_ok=True)


def single(db: Connection, query: str) -> tuple[Any, ...]:
    """Return the row of a query that has exactly one row, such as an aggregate without GROUP BY."""
    row: tuple[Any, ...] | None = db.execute(query).fetchone()
    if row is None:
        raise LookupError(f"no row: {query}")
    return row


def quote(name: str) -> str:
    """Quote `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """Quote `value` as an SQL literal. Raise TypeError unless it is None, a boolean, a number or a string."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case int() | float():
            return repr(value)
        case str():
            return "'" + value.replace("'", "''") + "'"
        case _:
            raise TypeError(f"no SQL literal: {value!r}")


def literals(values: Iterable[object]) -> str:
    """Quote `values` as the content of an IN list."""
    return ", ".join(literal(value) for value in values)


def bare(expression: str) -> str:
    """Return an SQL expression for the text of `expression` without surrounding space."""
    spaces = "' ' || chr(9) || chr(10) || chr(11) || chr(12) || chr(13) || chr(160)"
    # Checking first is much faster than trimming texts that have no surrounding space.
    return f"CASE WHEN {has_outer_space(expression)} THEN trim({expression}, {spaces}) ELSE {expression} END"


def has_outer_space(expression: str) -> str:
    return rf"regexp_matches({expression}, '^[\s\x0b\x{{a0}}]|[\s\x0b\x{{a0}}]\z')"
