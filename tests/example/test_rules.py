"""The rules' files: the SQL on three databases, the schema in Pandera; both take the cleaned table, not the raw."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import duckdb
import psycopg
import pytest

from tests.support.example import Start, Walk, read_csv, schema_errors
from tests.support.postgres import Databases

Insert = Callable[[str, Sequence[Sequence[Any]]], None]


def sqlite(sql: str, rows: Sequence[Sequence[Any]]) -> None:
    database = sqlite3.connect(":memory:")
    try:
        database.executescript(sql)
        marks = ", ".join("?" * len(rows[0]))
        database.executemany(f"INSERT INTO cleaned VALUES ({marks})", rows)
    finally:
        database.close()


def in_duckdb(sql: str, rows: Sequence[Sequence[Any]]) -> None:
    with duckdb.connect(":memory:") as database:
        database.execute(sql)
        marks = ", ".join("?" * len(rows[0]))
        database.executemany(f"INSERT INTO cleaned VALUES ({marks})", [list(row) for row in rows])


@pytest.fixture(scope="module")
def on_postgres(postgres: Databases) -> Iterator[Insert]:
    url = postgres.empty()
    with psycopg.connect(url, autocommit=True) as connection:

        def insert(sql: str, rows: Sequence[Sequence[Any]]) -> None:
            with connection.cursor() as cursor, connection.transaction(force_rollback=True):
                cursor.execute(sql.encode())
                with cursor.copy("COPY cleaned FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row(row)

        yield insert
    postgres.drop(url)


TABLES = {
    "placeholders": "id,n,city\n" + "".join(f"{i},{i * 3},Ulm\n" for i in range(40)) + "40,NA,Ulm\n41,n/a,Ulm\n",
    "infinities": "id,x\n" + "".join(f"{i},{i}.5\n" for i in range(80)) + "80,inf\n81,NaN\n",
    "units": "id,size\n" + "".join(f"{i},{i % 9 + 1}.5 kg\n" for i in range(40)),
    "spellings": "id,name\n"
    + "".join(f"{i},{['Ulm', 'Berlin', 'Munich'][i % 3]}\n" for i in range(60))
    + "60,BERLIN\n",
    "dates": "id,day\n" + "".join(f"{i},2024-01-{i % 28 + 1:02}\n" for i in range(40)) + '40,"Jan 5, 2024"\n',
    "times": "id,at\n" + "".join(f"{i},2024-01-01 10:{i:02}:00\n" for i in range(40)) + "40,NA\n",
    "flags": "id,ok\n" + "".join(f"{i},{'true' if i % 3 else 'false'}\n" for i in range(40)) + "40,Yes\n",
    "booleans": "id,ok\n" + "".join(f"{i},{'true' if i % 3 else 'false'}\n" for i in range(40)) + "40,1\n",
    "written dates": "id,day\n" + "".join(f"{i},{i % 28 + 1}.01.2024\n" for i in range(40)),
    "odd names": 'id,"se""lect",\'\'\n'
    + "".join(f"{i},x y,{i}\n" for i in range(40))
    + "40,'; DROP TABLE cleaned,NA\n",
}


def as_rows(rows: list[list[str]]) -> list[list[str | None]]:
    return [[cell or None for cell in row] for row in rows]


@pytest.mark.parametrize("name", TABLES)
def test_the_sql_on_each_database_and_pandera_take_the_cleaned_table_and_refuse_the_raw_one(
    from_csv: Start, on_postgres: Insert, name: str
) -> None:
    walk = from_csv(TABLES[name]).to_the_end()
    assert walk.changes(), "the table has something to be mended"
    sql = walk.file("checks_sql").read_text()
    raw = as_rows(read_csv(walk.attempt.folder / "upload.csv")[1:])
    for insert, error in (
        (sqlite, sqlite3.IntegrityError),
        (in_duckdb, (duckdb.ConversionException, duckdb.ConstraintException)),
        (on_postgres, psycopg.Error),
    ):
        insert(sql, as_rows(walk.cleaned()))
        with pytest.raises(error):
            insert(sql, raw)
    walk.validate(walk.file("table_csv"))
    with pytest.raises(schema_errors()):
        walk.validate(walk.attempt.folder / "upload.csv", dtype=str, keep_default_na=False)


def test_pandera_takes_texts_that_pandas_reads_as_something_else(from_csv: Start) -> None:
    rows = [("NA", "01067", "1.10", "0001-01-01", "2024-01-01T10:00", "TRUE", "-0")] * 20
    rows += [("DE", "10115", "1.1", "2024-01-01", "2024-01-02 11:00", "FALSE", "0")] * 20
    rows[3] = ("FR", "20095", "1.2", "9999-12-31", "2024-01-03 12:00", "FALSE", "1")
    names = ["iso", "zip", "version", "day", "at", "flag", "zero"]
    walk = from_csv("\n".join([",".join(names), *map(",".join, rows)]) + "\n").to_the_end()
    assert walk.changes() == []
    walk.validate(walk.file("table_csv"))
    walk = from_csv("nr,version\n1,1.10\n2,1.1\n3,1.2\n").to_the_end()
    walk.validate(walk.file("table_csv"))


def test_the_rules_say_what_was_learnt(from_csv: Start) -> None:
    def rule(walk: Walk, column: str) -> dict[str, Any]:
        return next(each for each in walk.state["rules"] if each["kind"] == "column" and each["column"] == column)

    walk = from_csv(TABLES["units"]).to_the_end()
    assert rule(walk, "size")["unit"] == "kg"
    assert "-- size: the unit is kg" in walk.file("checks_sql").read_text()
    walk = from_csv(TABLES["spellings"]).to_the_end()
    assert rule(walk, "name")["allowed"] == ["Berlin", "Munich", "Ulm"]
    assert rule(walk, "id") == {
        "kind": "column", "column": "id", "type": "BIGINT", "required": True, "unique": True, "seen": [0.0, 60.0],
    }  # fmt: skip
