"""The tables of `docs/operations.md` are those of the code."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from service.api import limits
from service.background import webhooks
from service.core import codec, graph, join
from service.core.operations import schedule
from service.core.queueing.limits import LIMIT_NAME_CHARS_MAX
from service.core.validation import FAULTS_MAX
from service.engine import ahead, lines
from service.engine.isolation import pool
from service.settings import MIB, Settings
from service.store.commands import signals
from service.store.database.writing import queued_write
from service.store.queries import backtest, pages
from service.store.rows.operations import timetable
from tests.support.docs.blocks import table_after
from tests.support.faults.kinds import ON_POSTGRESQL, ON_SQLITE

PAGE = "docs/operations.md"


def test_the_settings_are_those_of_the_code() -> None:
    rows = {row[0].strip("`"): row[1].strip("`") for row in table_after(PAGE, "## Settings")}
    names = {field.name for field in fields(Settings)} - {
        "database_url_source",
        "server_url",
        "warnings",
    }  # No variables.
    assert {name.removeprefix("RUNGRAPH_").lower() for name in rows} == names
    for name, default in rows.items():
        kept = getattr(Settings(), name.removeprefix("RUNGRAPH_").lower())
        if default.endswith(" MiB"):
            assert kept == int(default.removesuffix(" MiB")) * MIB
        elif default and kept is not None:
            assert Settings.from_environment({name: default}) == Settings()


@pytest.mark.parametrize(
    ("what", "numbers"),
    [
        ("levels of JSON; digits of an integer", [codec.DEPTH_MAX, codec.INT_DIGITS_MAX]),
        ("levels of a condition", [graph.CONDITION_DEPTH_MAX]),
        ("children of one node (`for_each`)", [join.CHILDREN_MAX]),
        ("runs below one another", [join.DEPTH_MAX]),
        ("signals in a run's mailbox", [signals.MAILBOX_MAX]),
        ("a sleep, a `timeout_s`", [graph.SECONDS_MAX // (36_525 * 24 * 36)]),
        ("steps of a run", [graph.MAX_STEPS_DEFAULT]),
        (
            "a log line's message and data; lines of a step",
            [lines.MESSAGE_BYTES_MAX >> 10, lines.DATA_BYTES_MAX >> 10, lines.LINES_MAX],
        ),
        (
            "tags of a run; characters of a key and of a value",
            [limits.TAGS_MAX, limits.TAG_KEY_CHARS_MAX, limits.TAG_VALUE_CHARS_MAX],
        ),
        ("characters of a node's name, of a limit's name", [graph.NODE_NAME_CHARS_MAX, LIMIT_NAME_CHARS_MAX]),
        ("items of a page", [limits.LIMIT_MAX, pages.PAGE_BYTES_MAX >> 20]),
        ("runs and examples of a backtest", [limits.LIMIT_MAX, backtest.EXAMPLES_MAX]),
        ("missed ticks that a schedule catches up with", [schedule.CATCH_UP_MAX]),
        (
            "characters of a schedule's name and of its cron expression",
            [limits.SCHEDULE_NAME_CHARS_MAX, timetable.CRON_CHARS_MAX],
        ),
        ("webhooks that a server sends at once; to one host", [webhooks.SENDING_MAX, webhooks.HOST_MAX]),
        ("faults told of one document", [FAULTS_MAX]),
        ("tools in processes of their own (`isolate`)", [pool.ISOLATED_MAX]),
        (
            "steps of [pure tools](tools.md#pure-tools) of a run that are not on disk yet",
            [ahead.STEPS_MAX, ahead.BYTES_MAX // 2**20, round(queued_write.DEFER_S * 1000)],
        ),
    ],
)
def test_a_bound_is_that_of_the_code(what: str, numbers: list[int]) -> None:
    [shown] = [row[1] for row in table_after(PAGE, "## Bounds") if row[0] == what]
    assert [int(number.replace(",", "")) for number in re.findall(r"[0-9][0-9,]*[0-9]|[0-9]", shown)] == numbers


def test_the_faults_are_those_of_the_suite() -> None:
    rows = {row[0].strip("`"): row[1] for row in table_after(PAGE, "## The fault suite")}
    on_sqlite, on_postgresql = ({fault.__name__ for fault in kinds} for kinds in (ON_SQLITE, ON_POSTGRESQL))
    assert set(rows) == on_sqlite | on_postgresql
    for name, database in rows.items():
        both = name in on_sqlite and name in on_postgresql
        assert database == ("both" if both else "SQLite" if name in on_sqlite else "PostgreSQL")
