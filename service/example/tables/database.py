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
    # The steps import DuckDB when they run, so that a server whose runs do not use the example never loads it.
    from duckdb import DuckDBPyConnection

    Connection = DuckDBPyConnection
else:
    Connection = Any

MEMORY_BYTES_MAX = 512 << 20
"""The most memory of one instance of DuckDB. The instance puts what does not fit into temporary files."""
SESSIONS_MAX = max(2, os.cpu_count() or 1)
"""The most steps that use DuckDB at a time, if the memory suffices for so many. Other steps wait."""
SESSION_BYTES = 256 << 20
"""The process may open one session for each SESSION_BYTES of its memory. All use at most half of the memory."""
THREADS = 2
LINE_BYTES_MAX = 32 << 20
KEPT_MAX = 4
"""The most instances that are kept between steps."""
_kept: dict[tuple[int, Path], tuple[Connection, Path]] = {}
"""The instances that no step uses, each with its folder for temporary files, by process id and run's folder.

The process id keeps a forked process from using the instances of its parent.
"""
_lock = Lock()


@cache
def _turns() -> tuple[Semaphore, int]:
    """Return a semaphore that limits the number of open sessions, and the most memory of a session in bytes."""
    memory = memory_bytes()
    count = min(max(memory // SESSION_BYTES, 1), SESSIONS_MAX)
    return Semaphore(count), min(memory // (2 * count), MEMORY_BYTES_MAX)


@contextmanager
def database(folder: Path) -> Iterator[Connection]:
    """Yield an empty database that can access only `folder`, where it also puts its temporary files.

    Opening an instance of DuckDB takes longer than most queries of a small table. So if a step succeeds, its instance
    is kept for the run's next step. Each step has a session of its own, whose temporary tables disappear with it.
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
    """Keep an instance for the next step. Close it if it has spilled, since it then holds memory and files."""
    with _lock:
        replaced = _kept.pop(key, None)
        has_spilled = spill.exists()
        if not has_spilled:
            _kept[key] = instance, spill
        closed = [replaced] if replaced else []
        ours = [each for each in _kept if each[0] == key[0]]  # A parent's instances are the parent's to close.
        closed += [_kept.pop(each) for each in ours[: max(0, len(ours) - KEPT_MAX)]]
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
