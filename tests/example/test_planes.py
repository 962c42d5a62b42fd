"""The bundled data set, from end to end: what is found, what is mended, and what is left alone."""

from __future__ import annotations

import csv
import hashlib

import duckdb
import pytest
from pandera.errors import SchemaErrors

from service.example import DATASETS, initial_state

from .conftest import Attempt, Start, Walk


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    folder = tmp_path_factory.mktemp("planes")
    return Walk(Attempt(folder), initial_state({"kind": "dataset", "name": "planes"}, 0)).to_the_end()


def test_ends_clean_after_several_rounds(done: Walk) -> None:
    assert done.state["stopped_because"] == "threshold_met"
    assert done.nodes == ["profile", "detect", "generate", "apply"] * 3 + ["profile", "detect"]
    assert done.totals == [13742, 3378, 9, 0]
    assert done.counts(1) == {"placeholder": 3369, "type_mismatch": 9919, "category": 454}
    # The cast lets the years be judged; a year that cannot be becomes a missing one, to be filled in turn.
    assert done.counts(2) == {"missing": 3369, "outlier": 9}
    assert done.counts(3) == {"missing": 9}
    assert [entry.get("mended", {}).get("cells_changed") for entry in done.state["history"]] == [13742, 79, 9, None]


def test_the_state_is_small_and_complete(done: Walk) -> None:
    assert done.state["source"] == {"kind": "dataset", "name": "planes"}
    assert done.state["row_count"] == 3322
    assert done.state["iteration"] == 4
    assert done.state["anomaly_count"] == 0
    assert len(str(done.state)) < 20_000
    for rule in done.state["rules"]:
        assert {"column", "kind", "parameters", "predicate", "fix"} <= set(rule)


def test_manufacturers_are_one_each(done: Walk) -> None:
    names = dict(done.query("SELECT manufacturer, count(*) FROM cleaned GROUP BY ALL"))
    assert names["AIRBUS INDUSTRIE"] == 736
    assert names["MCDONNELL DOUGLAS"] == 237
    assert names["CANADAIR"] == 10
    assert names["DOUGLAS"] == 1
    assert len(names) == 31


@pytest.mark.parametrize("column", ["tailnum", "type", "model", "engine"])
def test_what_truly_differs_is_left_alone(done: Walk, column: str) -> None:
    with DATASETS["planes"].open() as file:
        raw = [row[column] for row in csv.DictReader(file)]
    assert [value for (value,) in done.query(f"SELECT {column} FROM cleaned")] == raw


def test_a_mostly_missing_column_is_nullable_and_not_invented(done: Walk) -> None:
    assert done.query("SELECT count(speed), count(*) FROM cleaned") == [(23, 3322)]
    assert [rule["kind"] for rule in done.state["rules"] if rule["column"] == "speed"] == [
        "placeholder",
        "type",
        "nullable",
    ]


def test_few_missing_years_are_filled_with_the_median(done: Walk) -> None:
    assert done.query("SELECT min(year), max(year), count(*) FILTER (year = 2001) FROM cleaned") == [
        (1973, 2013, 284 + 70 + 9)
    ]
    rules = [rule for rule in done.state["rules"] if rule["kind"] == "not_null" and rule["column"] == "year"]
    assert [(rule["fix"], rule["found"]) for rule in rules] == [("fill", 70), ("fill", 9)]
    assert all(rule["parameters"] == {"value": 2001, "method": "median"} for rule in rules)


def test_an_impossible_year_is_found_once_its_column_is_cast(from_csv: Start) -> None:
    raw = DATASETS["planes"].read_text()
    walk = from_csv(raw.replace("N10156,2004,", "N10156,0,")).to_the_end()
    assert walk.counts(2) == {"missing": 3369, "outlier": 10}
    assert walk.counts(3) == {"missing": 10}
    assert walk.query("SELECT year FROM cleaned WHERE tailnum = 'N10156'") == [(2001,)]
    assert walk.totals == [13742, 3379, 10, 0]


def test_the_sql_takes_the_cleaned_table_and_refuses_the_raw_one(done: Walk) -> None:
    raw = f"read_csv('{DATASETS['planes']}', all_varchar=true)"
    with duckdb.connect(":memory:") as db:
        db.execute(done.file("checks_sql").read_text())
        with pytest.raises(duckdb.ConversionException, match="NA"):
            db.execute(f"INSERT INTO cleaned FROM {raw}")
        with pytest.raises(duckdb.ConstraintException, match="CHECK"):
            db.execute(f"INSERT INTO cleaned SELECT * REPLACE (2000 AS year, NULL AS speed) FROM {raw}")
        db.execute(f"INSERT INTO cleaned FROM read_parquet('{done.file('table_parquet')}')")
        assert db.execute("SELECT count(*) FROM cleaned").fetchone() == (3322,)


def test_pandera_takes_the_cleaned_table_and_refuses_the_raw_one(done: Walk) -> None:
    done.validate(done.file("table_csv"))
    with duckdb.connect(":memory:") as db:
        done.validate_frame(db.execute(f"FROM read_parquet('{done.file('table_parquet')}')").df())
    with pytest.raises(SchemaErrors) as refusal:
        done.validate(DATASETS["planes"])
    assert {"year", "manufacturer"} <= set(refusal.value.failure_cases["column"])
    with pytest.raises(SchemaErrors, match="coerce_dtype"):
        done.validate(DATASETS["planes"], dtype=str, keep_default_na=False)


def test_a_step_done_twice_gives_the_same_bytes_and_the_same_state(planes: Walk) -> None:
    folder = planes.attempt.folder

    def digests() -> dict[str, str]:
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}

    def again(walk: Walk, node: str) -> None:
        before = digests()
        walk.state, after = walk.before, walk.state
        assert walk.outcome(node) == after
        assert digests() == before
        walk.state = after

    planes.after_each = again
    planes.to_the_end()
    assert sorted(digests()) == [
        "1-mended.parquet",
        "1-raw.parquet",
        "2-mended.parquet",
        "3-mended.parquet",
        "cleaned.csv",
        "cleaned.parquet",
        "rules.sql",
        "schema.yaml",
    ]


def test_the_lines_tell_a_person_what_happened(done: Walk) -> None:
    assert "speed: 3,299 cells hold a placeholder ('NA')" in done.attempt.lines
    assert "0 anomalies, done: threshold_met" in done.attempt.lines
    assert len(done.attempt.lines) < 60
