"""Small tables that went wrong once, each with what is right beside it; cases/cases.json says what its keys mean:

rows: rows of the cleaned table; accounted: rows cleaned and refused, if the run completes; unchanged: columns of which
no cell changes; cells_if_completed: what stands where; listed: cells that are changed or flagged; says: a word that the
log, a flag or the error has.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.example import Start, Walk, read_csv

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "cases" / "cases.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["file"])
def test_a_table_that_went_wrong_once(from_csv: Start, case: dict[str, Any]) -> None:
    content = (Path(__file__).parent / "cases" / case["file"]).read_bytes()
    expect = case["expect"]
    walk = from_csv(content)
    try:
        walk.to_the_end()
    except ValueError as error:
        failure = str(error)
    else:
        failure = ""
    if failure:
        assert {"accounted", "accounted_any", "says"} & set(expect), failure
        assert re.match(r"line \d+: .*`\w+`", failure)
        assert expect.get("says", "") in failure
        return
    rows, refused = len(walk.cleaned()), len(walk.rows("refused_csv"))
    assert rows == expect.get("rows", rows)
    assert rows + refused in expect.get("accounted_any", [expect.get("accounted", rows + refused)])
    header = read_csv(walk.file("table_csv"))[0]
    assert header == expect.get("columns", header)
    for column in expect.get("unchanged", []):
        assert_unchanged(walk, content, column)
    for row, column, text in expect.get("cells_if_completed", []):
        assert walk.column(column)[row - 1] == text
    listed = {(row, column) for row, column, *_ in walk.changes()} | {
        (int(row or 0), column) for row, column, *_ in walk.flags()
    }
    assert {(row, column) for row, column in expect.get("listed", [])} <= listed
    assert len(walk.flags()) >= expect.get("flags_min", 0)
    assert expect.get("says", "") in " ".join([*walk.attempt.lines, *(flag[4] for flag in walk.flags())])


def assert_unchanged(walk: Walk, content: bytes, column: str) -> None:
    assert column not in {changed for _, changed, *_ in walk.changes()}
    header, *rows = [line.split(",") for line in content.decode().split("\n") if line]
    assert walk.column(column) == [row[header.index(column)] for row in rows]
