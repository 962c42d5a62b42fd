"""How runs and lines look on a terminal."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.cli import text

NOW = datetime(2030, 1, 2, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("started_at", "finished_at", "says"),
    [
        (None, None, "-"),
        ("2030-01-02T12:00:00.000000Z", "2030-01-02T12:00:00.012345Z", "0.012 s"),
        ("2030-01-02T11:59:00.500000Z", None, "59.500 s"),
        ("2030-01-02T11:58:56.100Z", None, "1 min 03 s"),
        ("2030-01-02T09:55:00Z", None, "2 h 05 min"),
        ("2029-12-30T09:55:00Z", None, "3 d 02 h"),
        ("2030-01-02T12:00:01Z", None, "0.000 s"),
    ],
)
def test_a_duration_is_short(started_at: str | None, finished_at: str | None, says: str) -> None:
    assert text.duration(started_at, finished_at, NOW) == says


@pytest.mark.parametrize(
    ("given", "says"),
    [("", "-"), ("a b", "a b"), ("a\nb", "a\\nb"), ("x" * 32, "x" * 32), ("x" * 33, "x" * 31 + "…"), ("é→☃", "é→☃")],
)
def test_a_cell_has_bounds(given: str, says: str) -> None:
    assert text.cell(given) == says


@given(st.text())
def test_whatever_a_tool_says_is_one_printable_line(said: str) -> None:
    assert text.shown(said).isprintable()
    assert len(text.cell(said)) <= text.CELL_CHARS_MAX
    line = {"ts": "2030-01-02T12:00:00.000Z", "level": "info", "node": said, "message": said, "data": {"said": said}}
    for shown in (text.brief(line), text.full(line)):
        assert shown.isprintable()
        assert text.shown(said) in shown


def test_a_line_shows_its_level_and_what_was_added_to_it() -> None:
    line = {"ts": "2030-01-02T12:34:56.789Z", "level": "error", "node": "a", "message": "no", "data": {"n": 1}}
    assert text.brief(line) == "12:34:56.789 ✗ a         no"
    assert text.full(line) == '2030-01-02 12:34:56.789 ✗ a         no {"n":1}'
    assert text.brief({**line, "level": "warning", "node": None}) == "12:34:56.789 !           no"


@given(st.text())
def test_a_traceback_follows_its_line_in_printable_lines_of_its_own(trace: str) -> None:
    line = {"ts": "2030-01-02T12:34:56.789Z", "level": "error", "node": "a", "message": "no"}
    said, *below = text.full({**line, "data": {"n": 1, "traceback": trace}}).split("\n")
    assert said == '2030-01-02 12:34:56.789 ✗ a         no {"n":1}'
    assert below == [f"    {text.shown(each)}" for each in trace.splitlines()]
    assert all(each.isprintable() for each in below)
    assert text.full({**line, "data": {"traceback": [1]}}).endswith('no {"traceback":[1]}')


def test_a_table_keeps_its_columns_below_each_other() -> None:
    assert text.table([["id", "name"], ["1234", "a"], ["5", "bcd"]]) == ["id    name", "1234  a", "5     bcd"]
