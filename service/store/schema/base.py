"""What the models of all tables share: types of columns, and parts of their definitions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, cast

from sqlalchemy import TIMESTAMP, BigInteger, Connection, Double, Index, Integer, MetaData, Table, Text, event, text
from sqlalchemy.ext.declarative import DeferredReflection
from sqlalchemy.orm import DeclarativeBase, mapped_column

WITHOUT_ROWID = {"sqlite_with_rowid": False}

Key = Annotated[str, mapped_column(Text().with_variant(Text(collation="C"), "postgresql"))]
"""Text that sorts by code point on both databases, and is not slowed down by the server's locale."""
Time = Annotated[str, mapped_column(Text().with_variant(TIMESTAMP(timezone=True), "postgresql"))]
Small = Annotated[int, mapped_column(Integer)]
"""A flag (0 or 1) or a small number."""


class Row(DeferredReflection, DeclarativeBase):
    """The base of all models. They only describe tables: DeferredReflection defers their mapping for ever."""

    type_annotation_map = {  # noqa: RUF012  # SQLAlchemy reads it as it is
        str: Text(),
        int: Integer().with_variant(BigInteger(), "postgresql"),  # SQLite's integers have 64 bits anyway.
        float: Double(),
    }


def one_of(column: str, values: Iterable[str]) -> str:
    return f"{column} IN ({', '.join(repr(str(value)) for value in values)})"


@event.listens_for(Row.metadata, "before_create")
def _set_options_of_postgresql(metadata: MetaData, connection: Connection, **_rest: object) -> None:
    """Set PostgreSQL's options. If the models had them as arguments, that dialect would be imported for SQLite too."""
    if connection.dialect.name == "postgresql":
        for table in metadata.tables.values():
            table.dialect_options["postgresql"]["with"] = table.info.get("with", {})
            for index in table.indexes:
                where = index.info.get("where")
                index.dialect_options["postgresql"]["where"] = None if where is None else text(where)


def partial_index(name: str, *columns: str, where: str) -> Index:
    return Index(name, *columns, sqlite_where=text(where), info={"where": where})


def table_of(model: type[Row]) -> Table:
    return cast(Table, model.__table__)
