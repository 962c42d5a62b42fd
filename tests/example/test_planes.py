"""The bundled data set, from end to end: what is mended, what is flagged, and what is left alone."""

from __future__ import annotations

import hashlib

import duckdb
import pytest

from service.example import DATASETS, initial_state
from tests.support.dirty_table import as_csv, dirty_table
from tests.support.example import Attempt, Start, Walk, read_csv, schema_errors


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    folder = tmp_path_factory.mktemp("planes")
    return Walk(Attempt(folder), initial_state({"kind": "dataset", "name": "planes"}, 0)).to_the_end()


def raw_column(name: str) -> list[str]:
    header, *rows = read_csv(DATASETS["planes"])
    return [row[header.index(name)] for row in rows]


def test_ends_clean_after_rounds_that_each_show_the_next(done: Walk) -> None:
    assert done.state["stopped_because"] == "threshold_met"
    assert done.nodes == ["profile", "detect", "generate", "apply"] * 2 + ["profile", "detect"]
    assert done.counts(1) == {"placeholder": 3369, "spelling": 336}
    # Two names of one maker hide that a model has one maker: only then are the others that differ seen.
    assert done.counts(2) == {"dependency": 14}
    assert done.totals == [3705, 14, 0]
    assert done.state["change_count"] == 3719


def test_the_state_is_small_and_complete(done: Walk) -> None:
    assert done.state["source"] == {"kind": "dataset", "name": "planes"}
    assert (done.state["row_count"], done.state["refused_count"]) == (3322, 0)
    assert (done.state["iteration"], done.state["anomaly_count"]) == (3, 0)
    assert done.state["flag_count"] == len(done.flags())
    assert len(str(done.state)) < 30_000


def test_one_maker_has_one_name(done: Walk) -> None:
    makers = done.column("manufacturer")
    assert (makers.count("AIRBUS INDUSTRIE"), makers.count("AIRBUS")) == (736, 0)
    assert (makers.count("DOUGLAS"), makers.count("CANADAIR")) == (1, 9)
    assert {(before, after) for _, column, before, after, _ in done.changes() if column == "manufacturer"} == {
        ("AIRBUS", "AIRBUS INDUSTRIE"),
        ("MCDONNELL DOUGLAS CORPORATION", "MCDONNELL DOUGLAS AIRCRAFT CO"),
    }


@pytest.mark.parametrize("column", ["tailnum", "type", "model", "engines", "seats", "engine"])
def test_what_truly_differs_is_left_alone(done: Walk, column: str) -> None:
    assert done.column(column) == raw_column(column)


@pytest.mark.parametrize("column", ["year", "speed"])
def test_old_aircraft_keep_their_years_and_missing_cells_stay_missing(done: Walk, column: str) -> None:
    assert done.column(column) == ["" if cell == "NA" else cell for cell in raw_column(column)]
    assert len([flag for flag in done.flags("missing") if flag[1] == column]) == raw_column(column).count("NA")


def test_an_impossible_year_is_a_flag(from_csv: Start) -> None:
    raw = "".join(DATASETS["planes"].read_text().splitlines(keepends=True)[:500])
    walk = from_csv(raw.replace("N10156,2004,", "N10156,0,")).to_the_end()
    assert walk.column("year")[0] == "0"
    assert ("1", "year", "0") in {flag[:3] for flag in walk.flags("outlier")}


def test_a_step_done_twice_gives_the_same_bytes_and_the_same_state(from_csv: Start) -> None:
    twice = from_csv(as_csv(dirty_table()), allow=["fill"])
    folder = twice.attempt.folder

    def digests() -> dict[str, str]:
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}

    def again(walk: Walk, node: str) -> None:
        before = digests()
        walk.state, after = walk.before, walk.state
        assert walk.outcome(node) == after
        assert digests() == before
        walk.state = after

    twice.after_each = again
    twice.to_the_end()
    assert twice.nodes == ["profile", "detect", "generate", "apply"] * 2 + ["profile", "detect"]
    kept = {
        f"{n}-{what}"
        for n in (1, 2)
        for what in ("columns.json", "repairs.parquet", "changes.parquet", "table.parquet")
    }
    assert set(digests()) == kept | {
        "3-columns.json",
        "3-repairs.parquet",
        "3-table.parquet",
        "source.json",
        "upload.csv",
    } | set(twice.state["output"].values())


def test_the_lines_tell_a_person_what_happened(done: Walk) -> None:
    lines = "\n".join(done.attempt.lines)
    assert "speed: 3,299 × placeholder, such as 'NA' → nothing: the column holds numbers" in lines
    assert "0 anomalies can be mended; done: threshold_met" in lines
    assert len(done.attempt.lines) < 40


def test_the_parquet_file_has_types_and_the_same_values(done: Walk) -> None:
    assert done.query("SELECT typeof(year), typeof(seats), typeof(model) FROM cleaned LIMIT 1") == [
        ("BIGINT", "BIGINT", "VARCHAR")
    ]
    assert done.query("SELECT count(year), min(year), sum(seats) FROM cleaned") == [
        (3252, 1956, sum(map(int, raw_column("seats"))))
    ]


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
    with pytest.raises(schema_errors()) as refusal:
        done.validate(DATASETS["planes"])
    assert "manufacturer" in set(refusal.value.failure_cases["column"])
    with pytest.raises(schema_errors(), match="coerce_dtype"):
        done.validate(DATASETS["planes"], dtype=str, keep_default_na=False)
