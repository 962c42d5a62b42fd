"""Every row and every cell is accounted for: the raw table with the list of changes applied is the cleaned table."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.example import initial_state
from tests.support.dirty_table import as_csv, dirty_table
from tests.support.example import Attempt, Start, Walk, read_csv
from tests.support.profile import repeat


def replayed(raw: list[list[str]], walk: Walk) -> list[list[str]]:
    """The rows of the raw table, each change made where it says; the changes say what was there."""
    header = read_csv(walk.file("table_csv"))[0]
    rows: dict[int, list[str]] = {number: list(row) for number, row in enumerate(raw, start=1)}
    for row, column, before, after, kind in walk.changes():
        if kind == "duplicate":
            del rows[row]
            continue
        place = header.index(column)
        assert rows[row][place] == before
        rows[row][place] = after
    return list(rows.values())


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    """A walk over the dirty table that is at its end, in which nothing more than usual is allowed."""
    folder = tmp_path_factory.mktemp("dirty")
    (folder / "upload.csv").write_text(as_csv(dirty_table()))
    return Walk(Attempt(folder), initial_state({"kind": "csv", "file": "upload.csv"}, 0)).to_the_end()


@pytest.mark.parametrize("allow", [[], ["fill", "duplicates"], ["outliers"]])
def test_the_raw_table_with_the_changes_is_the_cleaned_one(from_csv: Start, dirty: Walk, allow: list[str]) -> None:
    walk = from_csv(as_csv(dirty_table()), allow=allow).to_the_end() if allow else dirty
    assert walk.state["stopped_because"] == "threshold_met"
    assert replayed(dirty_table(), walk) == walk.cleaned()
    assert walk.state["change_count"] == len(walk.changes())
    removed = [change for change in walk.changes() if change[4] == "duplicate"]
    assert walk.state["removed_count"] == len(removed) == ("duplicates" in allow)
    assert len(walk.cleaned()) + walk.state["refused_count"] + len(removed) == 121
    kinds = {change[4] for change in walk.changes()}
    assert {"space", "placeholder", "format"} <= kinds
    assert ("fill" in kinds, "outlier" in kinds) == ("fill" in allow, "outliers" in allow)


def test_the_lists_are_the_same_as_csv_and_as_parquet(dirty: Walk) -> None:
    with duckdb.connect(":memory:") as db:
        for name in ("changes", "flags"):
            path = str(dirty.file(f"{name}_parquet")).replace("'", "''")
            rows = db.execute(f"FROM read_parquet('{path}')").fetchall()
            as_text = [["" if cell is None else str(cell) for cell in row] for row in rows]
            assert as_text == dirty.rows(f"{name}_csv")
            assert [column[0] for column in db.description or []] == read_csv(dirty.file(f"{name}_csv"))[0]


def test_every_change_has_a_rule_and_evidence(dirty: Walk) -> None:
    rules = {rule["id"]: rule for rule in dirty.state["rules"] if "id" in rule}
    for row, column, _, _, kind, rule, iteration, evidence in dirty.rows("changes_csv"):
        assert int(row) > 0
        assert evidence
        assert (rules[rule]["kind"], rules[rule]["column"], rules[rule]["iteration"]) == (kind, column, int(iteration))


def test_the_mode_report_changes_nothing_and_flags_what_it_would(from_csv: Start) -> None:
    walk = from_csv(as_csv(dirty_table()), mode="report").to_the_end()
    assert walk.nodes == ["profile", "detect"]
    assert walk.cleaned() == dirty_table()
    assert walk.changes() == []
    assert walk.state["change_count"] == 0
    assert walk.state["anomaly_count"] > 0
    assert walk.state["stopped_because"] == "no_progress"
    assert ("22", "amount", "NA") in {flag[:3] for flag in walk.flags("placeholder")}


def test_a_column_that_is_kept_is_never_touched(from_csv: Start) -> None:
    kept = ["amount", "city"]
    walk = from_csv(as_csv(dirty_table()), keep=kept, allow=["fill", "outliers"]).to_the_end()
    assert {change[1] for change in walk.changes()} & set(kept) == set()
    assert walk.column("amount") == [row[3] for row in dirty_table()]
    assert ("22", "amount", "NA") in {flag[:3] for flag in walk.flags("placeholder")}
    assert walk.state["stopped_because"] == "threshold_met"
    with pytest.raises(ValueError, match="`keep` names 'amout'"):
        from_csv(as_csv(dirty_table()), keep=["amout"]).to_the_end()


@pytest.mark.parametrize("asked", [{"mode": "repair"}, {"allow": ["everything"]}])
def test_what_a_state_asks_for_and_there_is_not_fails_the_run(from_csv: Start, asked: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"`{next(iter(asked))}`"):
        from_csv("a,b\n1,2\n", **asked).to_the_end()


def test_a_threshold_that_is_met_stops_the_run_and_flags_what_is_left(from_csv: Start) -> None:
    walk = from_csv("a,b\n1,x\nNA,y\n", threshold=1).to_the_end()
    assert walk.totals == [1]
    assert walk.state["stopped_because"] == "threshold_met"
    assert walk.cleaned() == [["1", "x"], ["NA", "y"]]
    assert [flag[:4] for flag in walk.flags()] == [("2", "a", "NA", "placeholder")]
    assert from_csv("a,b\n1,x\nNA,y\n", threshold=0).to_the_end().totals == [1, 0]


def test_clean_rows_stop_at_once_with_all_outputs(from_rows: Start) -> None:
    walk = from_rows([{"id": i, "name": f"n{i}", "ok": i % 2 == 0, "score": i + 0.5} for i in range(30)]).to_the_end()
    assert walk.nodes == ["profile", "detect"]
    assert walk.state["stopped_because"] == "threshold_met"
    assert walk.types == {"id": "BIGINT", "name": "VARCHAR", "ok": "BOOLEAN", "score": "DOUBLE"}
    assert (walk.changes(), walk.flags()) == ([], [])
    assert all(walk.file(role).exists() for role in walk.state["output"])
    walk.validate(walk.file("table_csv"))


def test_a_run_leaves_no_temporary_file_also_of_an_attempt_that_was_killed(from_csv: Start, tmp_path: Path) -> None:
    walk = from_csv(as_csv(dirty_table()))

    def litter(_walk: Walk, node: str) -> None:
        (tmp_path / f".cleaned.csv.{node}").write_text("half")
        (tmp_path / f".spill.{node}").mkdir()
        (tmp_path / f".spill.{node}" / "block").write_text("half")

    litter(walk, "start")
    walk.after_each = lambda walk, node: litter(walk, node) if node != "detect" or len(walk.nodes) < 3 else None
    walk.to_the_end()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_runs_do_not_disturb_each_other(tmp_path: Path) -> None:
    def run(number: int) -> list[str]:
        folder = tmp_path / f"it's [run] {number}"
        folder.mkdir()
        (folder / "upload.csv").write_text("id,n\n" + "".join(f"{i},{i * number}\n" for i in range(50)))
        walk = Walk(Attempt(folder), initial_state({"kind": "csv", "file": "upload.csv"}, 0)).to_the_end()
        return walk.column("n")

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(run, range(3))) == [[str(i * number) for i in range(50)] for number in range(3)]


def test_a_table_of_very_many_columns_is_one_like_others(from_csv: Start) -> None:
    count = repeat(1200, 3000)  # More than Python and DuckDB nest expressions.
    header = ",".join(f"c{i}" for i in range(count))
    rows = "".join(",".join("NA" if (i + n) % 500 == 0 else str(i * n) for i in range(count)) + "\n" for n in range(10))
    walk = from_csv(f"{header}\n{rows}").to_the_end()
    assert walk.counts(1) == {"placeholder": rows.count("NA")}
    assert walk.state["stopped_because"] == "threshold_met"


cells = st.one_of(
    st.sampled_from(
        [
            "",
            "NA",
            "-",
            "1",
            "2",
            "2.5",
            "-7",
            "1e300",
            "007",
            "true",
            "2020-02-30",
            "2020-01-01",
            " a",
            "A",
            "1,5",
            "5 kg",
        ]
    ),
    st.integers(-(2**70), 2**70).map(str),
    st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=6),
)


@settings(
    max_examples=repeat(4, 40),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), min_size=2, max_size=12)))
def test_any_table_comes_to_its_end_and_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, table: list[list[str]]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "upload.json").write_text(json.dumps([dict(enumerate(row)) for row in table]))
    state = initial_state(
        {"kind": "rows", "file": "upload.json"}, 0, {"allow": ["fill", "outliers", "text_in_numbers"]}
    )
    walk = Walk(Attempt(folder), state).to_the_end()
    assert walk.state["stopped_because"] == "threshold_met"
    assert walk.state["iteration"] <= 8
    assert replayed(table, walk) == walk.cleaned()


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


@pytest.mark.parametrize("write", [quoted, str])
@settings(
    max_examples=repeat(3, 30),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(table=st.lists(st.lists(cells, min_size=1, max_size=4), min_size=1, max_size=8))
def test_any_csv_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, write: Callable[[str], str], table: list[list[str]]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    text = "\n".join(",".join(map(write, row)) for row in table)
    (folder / "upload.csv").write_bytes(text.encode())
    walk = Walk(Attempt(folder), initial_state({"kind": "csv", "file": "upload.csv"}, 0))
    try:
        walk.to_the_end()
    except ValueError:
        assert walk.nodes == []
    else:
        assert walk.state["stopped_because"] == "threshold_met"
        assert len(walk.cleaned()) == walk.state["row_count"]
