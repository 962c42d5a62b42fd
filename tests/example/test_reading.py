"""Reading with certainty: every line is a row, or refused with a reason, or the run fails and says what settles it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from service.example import faults, initial_state
from service.example.reading.names import unique_names
from tests.support.example import Attempt, Start, Walk, read_csv

REFUSED_ROWS: list[Any] = [[], [1], {}, [{}], [{"a": "x\0"}]]


@pytest.mark.parametrize(
    ("content", "rows", "refused"),
    [
        ("x\n1\n", 1, 0),
        ("a,b\n1,2\n3\n4,5\n7,8\n", 3, 1),
        ("a,b\n1,2\n3,4,5\n4,5\n7,8\n", 3, 1),
        ("a,b\n1,2,\n3,4,\n", 2, 0),
        ("a,b\n\n1,2\n,\n", 2, 1),
        ("a,b\n1,2\n3,4\n\n\n", 2, 0),
        ("\n\na,b\n1,2\n", 1, 0),
        ("a,b\r\n1,2\n3,4\r\n", 2, 0),
        ("a,b\r1,2\r3,4\r", 2, 0),
        ("a;b\n1,5;2\n", 1, 0),
        ("a\tb\n1,5\t2\n", 1, 0),
        ("\ufeffa,b\n1,2\n", 1, 0),
        ("é,b\n1,2\n".encode("utf-16"), 1, 0),
        ("né,b\n1,ü\n".encode("latin-1"), 1, 0),
        ('a,b\n1,"two\nlines"\n2,y\n', 2, 0),
        ('a,b\n1,"a, b"\n2,"say ""no"""\n', 2, 0),
        ('a,b\n1,5" pipe\n2,y\n', 2, 0),
        ('a,b\n1,"never closed\n2,3\n', 1, 1),
        ("a,b\n1," + "x" * 3_000_000 + "\n2,y\n", 2, 0),
        ("a,b\n,1\n,2\n,NA\n", 3, 0),
        ("v\n1\n\n3\n", 3, 0),
        ("a,b\n1,\x1d\x1e\x1f\n2,y\n", 2, 0),
        ("sep=;\nid;v\n1;5\n2;6\n", 2, 0),
        ("é,b\n1,2\n".encode("utf-32"), 1, 0),
        ("a,b\r\r\n1,2\r\r\n3,4\r\r\n", 2, 0),
        ("id,v\n0,é\n1,é\n2,é\n".encode() + b'3,"a\xe9\nb"\n4,"c"\n', 4, 1),
        ("id,v\n0,é\n1,é\n2,é\n".encode() + b'3,"a\nb\xe9"\n4,"c"\n', 4, 1),
        (",".join(f"c{i}" for i in range(200)) + "\n" + ",".join("x" * 200) + "\n", 1, 0),
    ],
)
def test_every_line_is_a_row_or_refused(from_csv: Start, content: str | bytes, rows: int, refused: int) -> None:
    walk = from_csv(content).to_the_end()
    assert (walk.state["row_count"], walk.state["refused_count"]) == (rows, refused)
    assert (len(walk.cleaned()), len(walk.rows("refused_csv"))) == (rows, refused)
    assert walk.state["stopped_because"] == "threshold_met"


def test_a_refused_line_is_listed_with_its_number_and_its_text(from_csv: Start) -> None:
    walk = from_csv(b'a,b\n1,2\n\n3\n4,"x" y\n5,6\n' + b"7,caf\xe9\n8,\xc3\xa9\n").to_the_end()
    assert [(line, text) for line, text, _ in walk.rows("refused_csv")] == [
        ("3", ""),
        ("4", "3"),
        ("5", '4,"x" y'),
        ("7", "7,caf\\xe9"),
    ]
    assert walk.cleaned() == [["1", "2"], ["5", "6"], ["8", "é"]]


@pytest.mark.parametrize("first", ["$5.00", "10:30", "1e5", "AB-125", "a@x.org", "NA", "2024-01-05"])
def test_a_first_record_that_looks_like_data_is_said(from_csv: Start, first: str) -> None:
    rows = {"$5.00": "$7.10", "10:30": "11:45", "1e5": "2e5", "AB-125": "CD-7", "a@x.org": "bob@y.org"}
    under = rows.get(first, "2024-01-06")
    assert from_csv(f"{first},x\n{under},y\n{under},z\n").to_the_end().flags("header")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_within_quotes_stay(from_csv: Start, end: str) -> None:
    walk = from_csv(end.join(["n,text", '1,"one', 'two"', "2,x", ""])).to_the_end()
    assert walk.column("text") == [f"one{end}two", "x"]


def test_every_cell_comes_back_as_it_is(from_csv: Start) -> None:
    cells = ["x", "a,b", 'say "no"', "two\nlines", "\u2028", "\x1d\x1e\x1f", "ünï", "007", "1.10", "back\\slash", "'"]
    lines = "".join('{},"{}"\n'.format(number, cell.replace('"', '""')) for number, cell in enumerate(cells))
    assert from_csv("n,text\n" + lines).to_the_end().column("text") == cells


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty"),
        ("a;b\r\n", r"line 1: .*no rows.*`header`"),
        (",,\nid,v,w\n1,5,6\n", r"line 1: .*no column.*`header`"),
        ('id,"v\n1,5\n2,6\n', r"line 1: .*`quote`"),
        (b"id,na\xefve\n1,\xc3\xa9\n2,\xc3\xa9\n", r"line 1: .*`encoding`"),
        (b"a,b\n" + (b"1," + b"2" * 997 + b"\n") * 1100 + b"1,\0\n", r"line 1102: .*`encoding`"),
        ("a b c\n1 2 3\n4 5 6\n", r"line 1: .*`delimiter`"),
        ("a^b\n1^2\n4^5\n", r"line 1: .*`delimiter`"),
        ('[{"a": 1}]', "no CSV"),
        ("<!DOCTYPE html><p>", "no CSV"),
        (b"%PDF-1.7\n", "no CSV"),
        (b"\x89PNG\r\n\x1a\n\0\0", r"line \d: .*`encoding`"),
        (b"a,b\nx,y\0\n", r"line 2: .*`encoding`"),
        ("a,b\n1,Россия\n".encode("cp1251"), r"line 2: .*`encoding`"),
        ("a,b\n1,été\n".encode("mac-roman"), r"line 2: .*`encoding`"),
        ("Report of May\n\nid,v\n1,5\n2,6\n", r"line 1: .*`skip`.*skip=2"),
        ("made by x\nid,v,w\n1,5,6\n2,6,7\n", r"line 1: .*`skip`"),
        ("id,v\nr1,1,5\nr2,2,6\n", r"line 1: .*`header`"),
        ("a,b;c,d\n1,2;3,4\n", r"line 1: .*`delimiter`"),
        ('id,v\n1,5\n2,"6\n3,7\n4,8"\n5,9\n', r"line 3: .*`quote`"),
        ('id,v\n1,5\n2,"6\n3,7"\n', r"line 3: .*`quote`"),
        ('id,v,w\n1,5,x\n2,"6,"y,z\n', r"line 3: .*`quote`"),
    ],
)
def test_what_is_uncertain_fails_and_names_the_line_and_the_option(
    from_csv: Start, content: str | bytes, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        from_csv(content).to_the_end()


@pytest.mark.parametrize(
    ("content", "options", "first"),
    [
        ("Report\n\nid,v\n1,5\n", {"skip": 2}, ["1", "5"]),
        ("1,5\n2,6\n", {"header": False}, ["1", "5"]),
        ("1,5\n2,6\n", {"header": True}, ["2", "6"]),
        ("a,b;c,d\n1,2;3,4\n", {"delimiter": ";"}, ["1,2", "3,4"]),
        ("a\tb\n1\t2\n", {"delimiter": "tab"}, ["1", "2"]),
        ("a,b\n'1,5',2\n", {"quote": "'"}, ["1,5", "2"]),
        ('a,b\n"1,2\n', {"quote": ""}, ['"1', "2"]),
        ('id,v\n2,"6\n3,7"\n', {"quote": '"'}, ["2", "6\n3,7"]),
        ("a,b\n1,Россия\n".encode("cp1251"), {"encoding": "cp1251"}, ["1", "Россия"]),
        ("a,b\n1,été\n".encode("mac-roman"), {"encoding": "mac-roman"}, ["1", "été"]),
        ("a,b\n1,東京\n".encode("shift-jis"), {"encoding": "Shift_JIS"}, ["1", "東京"]),
    ],
)
def test_an_option_settles_it(from_csv: Start, content: str | bytes, options: dict[str, Any], first: list[str]) -> None:
    walk = from_csv(content, options=options).to_the_end()
    assert walk.cleaned()[0] == first
    assert not walk.flags("header")
    assert not walk.flags("encoding")


def test_a_file_of_which_most_lines_do_not_fit_is_no_table(from_csv: Start) -> None:
    with pytest.raises(ValueError, match=r"line 3: .*`delimiter`"):
        from_csv("a,b\n1,2\n3\n4\n5\n6\n7,8\n9\n").to_the_end()


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"delimiter": ""}, "delimiter"),
        ({"delimiter": "ab"}, "delimiter"),
        ({"delimiter": "\n"}, "delimiter"),
        ({"delimiter": "é"}, "delimiter"),
        ({"quote": "''"}, "quote"),
        ({"quote": ",", "delimiter": ","}, "quote"),
        ({"encoding": "klingon"}, "encoding"),
        ({"encoding": "hex"}, "encoding"),
        ({"header": "yes"}, "header"),
        ({"skip": -1}, "skip"),
        ({"skip": True}, "skip"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(from_csv: Start, options: dict[str, Any], name: str) -> None:
    assert [found for found, _ in faults({"options": options})] == [name]
    with pytest.raises(ValueError, match=f"`{name}`"):
        from_csv("a,b\n1,2\n", options=options).to_the_end()


def test_headers_of_any_kind(from_csv: Start) -> None:
    walk = from_csv(
        'a,A,,"se""lect; DROP TABLE input",Ünï, b c ,row,yes\n1,2,3,4,5,6,7,8\n2,3,4,5,6,7,8,NA\n'
    ).to_the_end()
    assert read_csv(walk.file("table_csv"))[0] == [
        *("a", "A_2", "column_3", 'se"lect; DROP TABLE input', "Ünï", "b c", "row", "yes")
    ]
    walk.validate(walk.file("table_csv"))
    assert unique_names(["x" * 500, "\n", "a\tb"]) == ["x" * 100, "column_2", "a b"]


def test_rows_of_any_shape(from_rows: Start) -> None:
    walk = from_rows(
        [
            {"a": 1, "b": "x", "n": None},
            {"a": 2.5, "c": [1, {"z": None}]},
            {"A": True, "": 3, "big": 2**70},
            {"é": "😀"},
        ]
    ).to_the_end()
    assert read_csv(walk.file("table_csv")) == [
        ["a", "b", "n", "c", "A_2", "column_6", "big", "é"],
        ["1", "x", "", "", "", "", "", ""],
        ["2.5", "", "", '[1, {"z": null}]', "", "", "", ""],
        ["", "", "", "", "true", "3", str(2**70), ""],
        ["", "", "", "", "", "", "", "😀"],
    ]
    for bad in REFUSED_ROWS:
        with pytest.raises(ValueError, match=r"rows|NUL"):
            from_rows(bad).to_the_end()


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


def test_a_run_that_is_refused_leaves_nothing_half_done(from_csv: Start, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line 1"):
        from_csv("made by x\nid,v,w\n1,5,6\n2,6,7\n").to_the_end()
    assert json.dumps(sorted(path.name for path in tmp_path.iterdir())) == '["upload.csv"]'
