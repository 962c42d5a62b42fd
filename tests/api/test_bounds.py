"""What the README says of bounds is what the code has."""

from __future__ import annotations

import re

import pytest

from service.api import parameters
from service.core import children, codec, graph
from service.core.validation import FAULTS_MAX
from service.engine import lines
from service.engine.isolation import pool
from service.store.commands import signals
from service.store.queries import backtest, pages
from tests.support.checkout import CHECKOUT

README = CHECKOUT / "README.md"
BOUNDS = re.search("## Bounds\n(.*?)\n## ", README.read_text(), re.DOTALL)


@pytest.mark.parametrize(
    ("what", "numbers"),
    [
        ("levels of JSON; digits of an integer", [codec.DEPTH_MAX, codec.INT_DIGITS_MAX]),
        ("levels of a condition", [graph.CONDITION_DEPTH_MAX]),
        ("children of one node (`for_each`)", [children.CHILDREN_MAX]),
        ("runs below one another", [children.DEPTH_MAX]),
        ("signals in a run's mailbox", [signals.MAILBOX_MAX]),
        ("a sleep, a `timeout_s`", [graph.SECONDS_MAX // (36_525 * 24 * 36)]),
        ("steps of a run", [graph.MAX_STEPS_DEFAULT]),
        (
            "a log line's message and data; lines of a step",
            [lines.MESSAGE_BYTES_MAX >> 10, lines.DATA_BYTES_MAX >> 10, lines.LINES_MAX],
        ),
        ("items of a page", [parameters.LIMIT_MAX, pages.PAGE_BYTES_MAX >> 20]),
        ("runs and examples of a backtest", [parameters.LIMIT_MAX, backtest.EXAMPLES_MAX]),
        ("faults told of one document", [FAULTS_MAX]),
        ("tools in processes of their own (`isolate`)", [pool.ISOLATED_MAX]),
    ],
)
def test_the_readme_states_the_bound(what: str, numbers: list[int]) -> None:
    assert BOUNDS is not None
    rows = [line.split(" | ") for line in BOUNDS[1].splitlines()]
    (said,) = [row[1] for row in rows if row[0] == f"| {what}"]
    assert [int(number.replace(",", "")) for number in re.findall(r"[0-9][0-9,]*[0-9]|[0-9]", said)] == numbers
