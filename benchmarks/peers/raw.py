"""The limit: plain sqlite3 (or psycopg) committing the rows that Rungraph wrote for the same work, and nothing else.

S1 and S3: one transaction a step. S2: a hundred steps a transaction, the runs in step with each other, executemany.
Durability: WAL and synchronous FULL, or the server's synchronous_commit; both read back.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import defaultdict
from typing import Any

from peers import common
from peers.rungraph import template

TABLES = {"snapshots": "step > 0", "changes": "step > 0", "log_lines": "event = 'step_completed'"}
BATCH = 100
Step = tuple[str, int]
Batch = list[tuple[str, list[tuple[Any, ...]]]]
"""The statements of one transaction, each with its rows."""


def steps_of(cursor: Any, mark: str) -> tuple[dict[str, str], dict[Step, dict[str, list[tuple[Any, ...]]]]]:
    """The insert of each table, and what each step of each run wrote into each."""
    inserts, steps = {}, defaultdict(lambda: defaultdict(list))
    for table, where in TABLES.items():
        cursor.execute(f"SELECT * FROM {table} WHERE {where}")
        names = [column[0] for column in cursor.description]
        run_id, step = names.index("run_id"), names.index("step")
        inserts[table] = f"INSERT INTO {table} VALUES ({', '.join([mark] * len(names))})"
        for row in cursor.fetchall():
            steps[row[run_id], row[step]][table].append(tuple(row))
    return inserts, steps


def batches(asked: common.Work, cursor: Any, mark: str, now: Any) -> list[Batch]:
    """All transactions, in the order of the runs going on together."""
    inserts, steps = steps_of(cursor, mark)
    mine = set(asked.share)
    order = sorted((step, run_id) for run_id, step in steps if run_id in mine)
    move = (
        f"UPDATE runs SET step = {mark}, last_seq = last_seq + 1, moved_at = {mark} WHERE id = {mark} AND step = {mark}"
    )
    size = 1 if asked.runs == 1 else BATCH
    made = []
    for begin in range(0, len(order), size):
        part = order[begin : begin + size]
        batch = [(move, [(step, now, run_id, step - 1) for step, run_id in part])]
        for table, insert in inserts.items():
            if rows := [row for step, run_id in part for row in steps[run_id, step][table]]:
                batch.append((insert, rows))
        made.append(batch)
    return made


CLEAR = [f"DELETE FROM {table} WHERE {where}" for table, where in TABLES.items()]
CLEAR += ["UPDATE runs SET step = 0, last_seq = 0"]


def run_sqlite(asked: common.Work) -> None:
    with sqlite3.connect(template(asked)) as source, sqlite3.connect(common.file_of(asked)) as target:
        source.backup(target)
    source.close()
    target.close()
    connection = sqlite3.connect(common.file_of(asked), isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")
    written = batches(asked, connection.cursor(), "?", "2026-01-01T00:00:00.000Z")
    for statement in (*CLEAR, "VACUUM"):
        connection.execute(statement)
    begun = time.perf_counter()
    for batch in written:
        connection.execute("BEGIN IMMEDIATE")
        for statement, rows in batch:
            connection.execute(statement, rows[0]) if len(rows) == 1 else connection.executemany(statement, rows)
        connection.execute("COMMIT")
    seconds = time.perf_counter() - begun
    durability = common.pragmas(connection)
    connection.close()
    common.report(asked, seconds, durability)


def read_postgres(asked: common.Work, connection: Any) -> list[Batch]:
    return batches(asked, connection.cursor(), "%s", connection.execute("SELECT clock_timestamp()").fetchone()[0])


def write_postgres(connection: Any, written: list[Batch]) -> None:
    for batch in written:
        with connection.transaction(), connection.cursor() as cursor:
            for statement, rows in batch:
                cursor.execute(statement, rows[0]) if len(rows) == 1 else cursor.executemany(statement, rows)


def run_postgres(asked: common.Work) -> None:
    import psycopg

    assert asked.url is not None
    template(asked)
    with psycopg.connect(asked.url, autocommit=True) as connection:
        written = read_postgres(asked, connection)
        # Processes that share the work read what to write from copies, before the word is given.
        for table in TABLES:
            connection.execute(f"CREATE TABLE written_{table} AS TABLE {table}")
        for statement in (*CLEAR, "VACUUM ANALYZE"):
            connection.execute(statement)
        level = connection.execute("SHOW synchronous_commit").fetchone()[0]
        if asked.servers:
            seconds = common.run_servers(asked)
        else:
            begun = time.perf_counter()
            write_postgres(connection, written)
            seconds = time.perf_counter() - begun
        count = connection.execute("SELECT count(*) FROM snapshots WHERE step > 0").fetchone()[0]
    if count != asked.total:
        raise SystemExit(f"{count} steps instead of {asked.total}")
    common.report(asked, seconds, f"PostgreSQL synchronous_commit={level}")


async def serve(asked: common.Work) -> None:
    import psycopg

    with psycopg.connect(asked.url or "", autocommit=True) as connection:
        for table in TABLES:
            connection.execute(f"CREATE TEMPORARY VIEW {table} AS TABLE written_{table}")
        written = read_postgres(asked, connection)
        for table in TABLES:
            connection.execute(f"DROP VIEW {table}")

        async def do() -> None:
            write_postgres(connection, written)

        await common.told(do)


def main() -> None:
    asked = common.work()
    if asked.role:
        asyncio.run(serve(asked))
    elif asked.url:
        run_postgres(asked)
    else:
        run_sqlite(asked)


if __name__ == "__main__":
    main()
