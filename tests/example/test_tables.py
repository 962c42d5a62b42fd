"""Tables of every kind: what is an anomaly, what is a shape, and what no file may do."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.example import initial_state
from service.example.categories import name_key
from service.example.source import unique_names

from .conftest import Attempt, Start, Walk

REFUSED_ROWS: list[Any] = [[], [1], {}, [{}], [{"a": "x\0"}]]


def types(walk: Walk) -> dict[str, str]:
    return {column["name"]: column["type"] for column in walk.state["columns"]}


def test_clean_rows_stop_at_once_with_all_outputs(from_rows: Start) -> None:
    walk = from_rows([{"id": i, "name": f"n{i}", "ok": i % 2 == 0, "score": i * 1.5} for i in range(30)]).to_the_end()
    assert walk.nodes == ["profile", "detect"]
    assert walk.state["stopped_because"] == "threshold_met"
    assert types(walk) == {"id": "BIGINT", "name": "VARCHAR", "ok": "BOOLEAN", "score": "DOUBLE"}
    assert {rule["kind"] for rule in walk.state["rules"]} == {"type", "not_null", "unique"}
    walk.validate(walk.file("table_csv"))


def test_a_threshold_that_is_met_stops_the_run(from_csv: Start) -> None:
    walk = from_csv("a,b\n1,x\nNA,y\n", threshold=2).to_the_end()
    assert walk.totals == [2]
    assert walk.state["stopped_because"] == "threshold_met"
    assert walk.file("table_csv").read_text() == "a,b\n1,x\nNA,y\n"
    assert from_csv("a,b\n1,x\nNA,y\n", threshold=1).to_the_end().totals == [2, 1]


def test_keys_that_contradict_each_other_end_with_no_progress(from_csv: Start) -> None:
    rows = "".join(f"{i},{i % 3},\n" for i in range(50))
    walk = from_csv(f"id,grade,note\n{rows}7,,seen\n8,1,\n").to_the_end()
    assert walk.state["stopped_because"] == "no_progress"
    assert walk.totals[-1] == walk.counts(len(walk.totals))["duplicate_key"] == 1
    assert walk.query("SELECT grade, note FROM cleaned WHERE id = 7") == [(1, "seen")], "merged, nothing lost"
    assert walk.query("SELECT grade FROM cleaned WHERE id = 8 ORDER BY ALL") == [(1,), (2,)], "not guessed at"
    assert "UNIQUE" not in walk.file("checks_sql").read_text()


def test_repeated_rows_go_but_a_table_that_says_little_keeps_its_rows(from_csv: Start) -> None:
    people = from_csv("name,age\nAnn,30\nBob,41\nAnn,30\nCyd,30\nDan,5\n").to_the_end()
    assert people.counts(1)["duplicate_row"] == 1
    assert people.query("SELECT count(*) FROM cleaned") == [(4,)]
    answers = from_csv("sex,smokes\n" + "f,true\nm,false\nm,true\n" * 10).to_the_end()
    assert answers.ever_found("duplicate_row") == 0


def test_codes_and_numbers_too_long_stay_text(from_csv: Start) -> None:
    lines = "".join(
        f"0{1000 + i},+49{i},{2**64 + i},-{i},{i}.5e3,{day},2020-01-01 10:{i:02},{day}T10:{i:02}:00Z\n"
        for i, day in enumerate(f"2020-01-{number:02}" for number in range(1, 26))
    )
    walk = from_csv(f"zip,phone,big,n,x,day,at,zone\n{lines}").to_the_end()
    assert types(walk) == {
        "zip": "VARCHAR",
        "phone": "VARCHAR",
        "big": "VARCHAR",
        "n": "BIGINT",
        "x": "DOUBLE",
        "day": "DATE",
        "at": "TIMESTAMP",
        "zone": "TIMESTAMPTZ",
    }
    assert walk.query("SELECT zip, big, n, x FROM cleaned LIMIT 1") == [("01000", str(2**64), 0, 500.0)]
    walk.validate(walk.file("table_csv"), dtype={"zip": str, "phone": str, "big": str})


def test_a_stray_among_numbers_becomes_missing_and_then_the_median(from_csv: Start) -> None:
    walk = from_csv("n,m\n" + "".join(f"{i % 9},{i}\n" for i in range(60)) + "twelve,60\n").to_the_end()
    assert walk.counts(2) == {"missing": 1}
    assert walk.query("SELECT n FROM cleaned WHERE m = 60") == [(4,)]


def test_a_cut_off_value_is_an_outlier_and_a_tail_is_a_shape(from_csv: Start) -> None:
    ages = "".join(f"{20 + i * 7 % 40},{1.12**i:.3f},{i}\n" for i in range(90))
    walk = from_csv(f"age,delay,nr\n{ages}999,1,90\n").to_the_end()
    assert walk.counts(2) == {"outlier": 1}
    assert walk.counts(3) == {"missing": 1}, "an outlier set to NULL is a missing value"
    assert [rule["column"] for rule in walk.state["rules"] if rule["kind"] == "range"] == ["age"]
    assert walk.query("SELECT max(age), max(delay) > 10000 FROM cleaned") == [(59, True)]


def test_values_missing_together_are_not_filled(from_csv: Start) -> None:
    flown = "".join(f"{i},{500 + i % 50},{i % 7}\n" for i in range(95))
    walk = from_csv(f"id,departure,delay\n{flown}95,,\n96,NA,NA\n97,-,?\n").to_the_end()
    assert walk.query("SELECT count(departure), count(delay), count(*) FROM cleaned") == [(95, 95, 98)]


def test_texts_and_codes_are_not_invented(from_csv: Start) -> None:
    rows = "".join(f"c{i},{'paris' if i % 10 else 'rome'}\n" for i in range(60))
    walk = from_csv(f"code,city\n{rows},paris\nc61,\n").to_the_end()
    assert walk.query("SELECT count(code), count(city) FILTER (city = 'paris') FROM cleaned") == [(61, 56)]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("AIRBUS", "Airbus Industrie", True),
        ("Canadair Ltd.", "CANADAIR", True),
        ("São  Paulo ", "sao paulo", True),
        ("Turbo jet", "turbo-jet", True),
        ("Turbo-jet", "Turbo-fan", False),
        ("Fixed wing single engine", "Fixed wing multi engine", False),
        ("McDonnell Douglas", "Douglas", False),
        ("737-7H4", "7377H4", False),
        ("A+", "A-", False),
        ("London Paris", "Paris London", False),
    ],
)
def test_names(one: str, other: str, same: bool) -> None:
    assert (name_key(one) == name_key(other)) is same


def test_a_rare_slip_is_mended_and_similar_names_are_kept(from_csv: Start) -> None:
    cities = ["Manchester"] * 30 + ["Manchestre", "Mancehster", "Slovakia", "Slovenia"] + ["Birmingham"] * 2
    walk = from_csv("city,n\n" + "".join(f"{city},{n}\n" for n, city in enumerate(cities))).to_the_end()
    names = {name for (name,) in walk.query("SELECT DISTINCT city FROM cleaned")}
    assert names == {"Manchester", "Manchestre", "Slovakia", "Slovenia", "Birmingham"}


def test_headers_of_any_kind(from_csv: Start) -> None:
    walk = from_csv(
        'a,A,,"se""lect; DROP TABLE input",Ünï, b c ,_row,yes\n1,2,3,4,5,6,7,8\n2,3,4,5,6,7,8,NA\n'
    ).to_the_end()
    assert list(types(walk)) == ["a", "A_2", "column_3", 'se"lect; DROP TABLE input', "Ünï", "b c", "_row_2", "yes"]
    walk.validate(walk.file("table_csv"))
    assert unique_names(["x" * 500, "\n", "a\tb"]) == ["x" * 100, "column_2", "a b"]


@pytest.mark.parametrize(
    ("content", "rows", "refused"),
    [
        ("x\n1\n", 1, 0),
        ("a,b\n1,2\n3\n4,5,6\n7,8\n", 3, 1),
        ("a,b\n1,2,\n3,4,\n", 2, 0),
        ("a,b\n\n1,2\n,\n", 1, 0),
        ("a,b\r\n1,2\n3,4\r\n", 2, 0),
        ("a,b\r1,2\r3,4\r", 2, 0),
        ("a;b\n1,5;2\n", 1, 0),
        ("\ufeffa,b\n1,2\n", 1, 0),
        ("é,b\n1,2\n".encode("utf-16"), 1, 0),
        ("né,b\n1,ü\n".encode("latin-1"), 1, 0),
        ('a,b\n1,"two\nlines"\n', 1, 0),
        ('a,b\n1,"never closed\n2,3\n', 1, 0),
        ("a,b\n1," + "x" * 3_000_000 + "\n2,y\n", 2, 0),
        ("a,b\n,1\n,2\n,NA\n", 3, 0),
        (",".join(f"c{i}" for i in range(200)) + "\n" + ",".join("x" * 200) + "\n", 1, 0),
    ],
)
def test_csv_files_of_any_kind(from_csv: Start, content: str | bytes, rows: int, refused: int) -> None:
    walk = from_csv(content).to_the_end()
    assert (walk.state["row_count"], walk.state["rows_refused"]) == (rows, refused)
    assert walk.state["stopped_because"] == "threshold_met"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty"),
        ("a,b\n", "no rows"),
        (b"\x89PNG\r\n\x1a\n\0\0", "no CSV"),
        ('[{"a": 1}]', "no CSV"),
        ("<!DOCTYPE html><p>", "no CSV"),
        (b"%PDF-1.7\n", "no CSV"),
    ],
)
def test_what_is_no_table_is_refused_in_plain_words(from_csv: Start, content: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_csv(content).to_the_end()


def test_rows_of_any_shape(from_rows: Start) -> None:
    walk = from_rows(
        [
            {"a": 1, "b": "x", "n": None},
            {"a": 2.5, "c": [1, {"z": None}]},
            {"A": True, "": 3, "big": 2**70},
            {"é": "😀"},
        ]
    ).to_the_end()
    assert types(walk) == {
        "a": "DOUBLE",
        "b": "VARCHAR",
        "n": "VARCHAR",
        "c": "VARCHAR",
        "A_2": "BOOLEAN",
        "column_6": "BIGINT",
        "big": "VARCHAR",
        "é": "VARCHAR",
    }
    assert walk.query('SELECT c, "A_2", big FROM cleaned LIMIT 3') == [
        (None, None, None),
        ('[1, {"z": null}]', None, None),
        (None, True, str(2**70)),
    ]
    for bad in REFUSED_ROWS:
        with pytest.raises(ValueError, match=r"rows|NUL"):
            from_rows(bad).to_the_end()


def test_runs_do_not_disturb_each_other(tmp_path: Path) -> None:
    def run(number: int) -> list[int]:
        folder = tmp_path / f"it's [run] {number}"
        folder.mkdir()
        (folder / "upload.csv").write_text("id,n\n" + "".join(f"{i},{i * number}\n" for i in range(50)))
        walk = Walk(Attempt(folder), initial_state({"kind": "csv", "file": "upload.csv"}, 0)).to_the_end()
        return [value for (value,) in walk.query("SELECT n FROM cleaned")]

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(run, range(4))) == [[i * number for i in range(50)] for number in range(4)]


@pytest.mark.parametrize("file", ["../secret.csv", "/etc/passwd", "..", "", ".", "a\0b", None, 7])
def test_no_path_but_the_folder_is_opened(tmp_path: Path, file: object) -> None:
    (tmp_path.parent / "secret.csv").write_text("a,b\n1,2\n")
    for kind in ("csv", "rows"):
        with pytest.raises(ValueError, match="not a file name"):
            Walk(Attempt(tmp_path), initial_state({"kind": kind, "file": file}, 0)).to_the_end()


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    os.symlink("/etc/passwd", tmp_path / "upload.csv")
    with pytest.raises(ValueError, match="link"):
        Walk(Attempt(tmp_path), initial_state({"kind": "csv", "file": "upload.csv"}, 0)).to_the_end()


def test_sql_in_a_state_of_a_clients_own_is_never_run(from_csv: Start) -> None:
    walk = from_csv("a,b\nNA,1\nx,2\n")
    for node in ("profile", "detect", "generate"):
        walk.take(node)
    walk.state["rules"][0]["predicate"] = "(SELECT count(*) FROM read_csv('/etc/passwd')) = 0"
    walk.take("apply")
    walk.state["rules"][1]["parameters"]["type"] = "INT) FROM read_csv('/etc/passwd') --"
    with pytest.raises(ValueError, match="unknown type"):
        walk.take("apply")


cells = st.one_of(
    st.sampled_from(
        ["", "NA", "-", "1", "2", "2.5", "-7", "1e300", "007", "true", "2020-02-30", "2020-01-01", " a", "A"]
    ),
    st.integers(-(2**70), 2**70).map(str),
    st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=6),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), min_size=2, max_size=12)))
def test_any_table_comes_to_its_end(tmp_path_factory: pytest.TempPathFactory, table: list[list[str]]) -> None:
    folder = tmp_path_factory.mktemp("any")
    rows = [dict(enumerate(row)) for row in table]
    (folder / "upload.json").write_text(json.dumps(rows))
    walk = Walk(Attempt(folder), initial_state({"kind": "rows", "file": "upload.json"}, 0)).to_the_end()
    assert walk.state["stopped_because"] == "threshold_met"
    assert walk.totals[-1] == 0
    assert walk.state["iteration"] <= 5


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


@pytest.mark.parametrize("write", [quoted, str])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
