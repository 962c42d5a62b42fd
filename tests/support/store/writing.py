"""Small writes for the tests of the writer."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, insert

from service.store.database.sqlite.connections import Sqlite
from service.store.database.statements import Statement
from service.store.database.transaction import Transaction
from service.store.schema.models import graphs
from tests.support.store.harness import ask

ADD = Statement(insert(graphs).values({column.name: bindparam(column.name) for column in graphs.c}))


def add(name: str, size: int = 1) -> Any:
    def command(transaction: Transaction) -> str:
        transaction.execute(
            ADD,
            id=name,
            name="",
            start_node="a",
            definition="x" * size,
            created_at=transaction.moment.text(),
            posted_again_at=None,
        )
        transaction.topics.add(name)
        return name

    return command


def raising(transaction: Transaction) -> None:
    add("of the command that raises")(transaction)
    raise KeyError("a fault of the command")


def held(database: Sqlite) -> list[str]:
    return [name for (name,) in ask(database, "SELECT id FROM graphs ORDER BY id")]
