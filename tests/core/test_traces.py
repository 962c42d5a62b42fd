"""What the author of a tool is told of an exception."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.core import traces
from service.core.validation import read_graph


def raised(function: Callable[[], Any]) -> BaseException:
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError("it raised nothing")


def fails() -> None:
    raise KeyError("n")


def fails_in_python() -> None:
    json.loads("{")


def fails_in_rungraph() -> None:
    read_graph({}, [])


def fails_without_words() -> None:
    assert not "".join(["a"])


def fails_from() -> None:
    try:
        fails()
    except KeyError as error:
        raise ValueError("second") from error


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


def fails_unspeakably() -> None:
    raise Unspeakable


def fails_in_a_group() -> None:
    raise ExceptionGroup("all", [ExceptionGroup("some", [ValueError("first")]), ValueError("other")])


def fails_at_length() -> None:
    raise ValueError("x" * 10_000)


def recurses(depth: int = 0) -> None:
    recurses(depth + 1)


def exits() -> None:
    raise SystemExit(2)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (fails, r"KeyError: 'n' \(tests/core/test_traces\.py:\d+, in fails\)"),
        (fails_in_python, r"JSONDecodeError: Expecting .* \(.*test_traces\.py:\d+, in fails_in_python\)"),
        (fails_in_rungraph, r"Invalid: .* \(.*test_traces\.py:\d+, in fails_in_rungraph\)"),
        (fails_without_words, r"AssertionError(: .*)? \(.*, in fails_without_words\)"),
        (fails_from, r"ValueError: second \(.*, in fails_from\)"),
        (fails_unspeakably, r"Unspeakable: \(SystemExit in its message\) \(.*, in fails_unspeakably\)"),
        (
            fails_in_a_group,
            r"ExceptionGroup: all \(2 sub-exceptions\), the first being ValueError: first \(.*, in fails_in_a_group\)",
        ),
        (fails_at_length, r"ValueError: x+ \(.*, in fails_at_length\)"),
        (recurses, r"RecursionError: maximum .* \(.*, in recurses\)"),
        (exits, r"SystemExit: 2 \(.*, in exits\)"),
    ],
)
def test_an_exception_is_told_with_the_last_line_of_its_authors_code(function: Callable[[], Any], said: str) -> None:
    told = traces.describe(raised(function))
    assert re.fullmatch(said, told, re.DOTALL)
    assert len(told) <= traces.TEXT_CHARS_MAX


def test_a_syntax_error_is_where_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    error = raised(lambda: compile("def f(:\n", str(file), "exec"))
    assert traces.describe(error) == f"SyntaxError: invalid syntax ({file}:1)"
    assert "test_traces.py" in traces.describe(raised(lambda: compile("(", "<string>", "exec")))


def test_the_code_of_an_installed_tool_is_its_authors_as_well() -> None:
    error = raised(lambda: json.loads("{"))
    error.__traceback__ = error.__traceback__.tb_next if error.__traceback__ else None
    error.__traceback__ = error.__traceback__.tb_next if error.__traceback__ else None
    assert "(" not in traces.describe(error).partition("column")[0]
    folder = str(Path(json.__file__).parent) + "/"
    assert re.search(r"json/decoder\.py:\d+, in raw_decode\)$", traces.describe(error, folder))


def test_a_trace_is_whole_or_its_end() -> None:
    short, long = traces.format_traceback(raised(fails_from)), traces.format_traceback(raised(fails_at_length))
    assert short.startswith("Traceback (most recent call last):")
    assert "direct cause" in short
    assert short.endswith("ValueError: second")
    assert len(long) <= traces.TEXT_CHARS_MAX
    assert "RecursionError" in traces.format_traceback(raised(recurses)).splitlines()[-1]
