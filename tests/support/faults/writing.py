"""A process that writes to a migrated database: `python -m tests.support.faults.writing FILE`.

A number on its input is so many rows, each in a commit of its own; it prints the name of each when that is
acknowledged, and then an empty line. At the end of the input it closes as a server does.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

from service.core.errors import Unavailable
from service.store.database.local_events import LocalEvents
from service.store.database.notifier import NoNotifier
from service.store.database.opening import database_at
from service.store.database.protocol import Database
from service.store.database.required_tables import RequiredTables
from service.store.database.transaction import Transaction
from service.store.database.writing.writer import Writer

BYTES = 30_000
"""Of a row: eight pages."""


def write(database: Database) -> None:
    writer = Writer(database, LocalEvents(), NoNotifier(), RequiredTables(database, ()))
    writer.start()
    number = 0
    for line in sys.stdin:
        for _ in range(int(line)):
            number += 1
            name = f"{os.getpid()}-{number}"
            try:
                writer.submit(partial(_add, name), within_s=5).result()
            except Unavailable:
                continue
            sys.stdout.write(f"{name}\n")
            sys.stdout.flush()
        sys.stdout.write("\n")
        sys.stdout.flush()
    writer.close()


def _add(name: str, transaction: Transaction) -> None:
    transaction.cursor.execute(
        "INSERT INTO graphs (id, name, start_node, definition, created_at) VALUES (?, '', '', ?, '')",
        [name, "x" * BYTES],
    )


if __name__ == "__main__":
    write(database_at(f"sqlite:///{Path(sys.argv[1])}"))
