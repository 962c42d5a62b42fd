"""What `docs/architecture.md` says of the code is so."""

from __future__ import annotations

import importlib
import re
from functools import reduce

import pytest

from service.core.transitions import LEGAL
from tests.support.checkout import CHECKOUT
from tests.support.docs.blocks import blocks_of, table_after

PAGE = "docs/architecture.md"
TEXT = (CHECKOUT / PAGE).read_text()


def test_the_life_of_a_run_is_the_table_of_legal_transitions() -> None:
    [diagram] = [block.text for block in blocks_of(PAGE) if block.text.startswith("stateDiagram")]
    arrows = re.findall(r"^ +(\w+) --> (\w+): (.*)$", diagram, re.MULTILINE)
    shown = {(before, after): set(re.sub(r" \(.*?\)", "", label).split(", ")) for before, after, label in arrows}
    assert shown == {
        (before.value, after.value): {command.value for command in commands}
        for before, following in LEGAL.items()
        for after, commands in following.items()
    }
    ends = {before.value for before, following in LEGAL.items() if not following}
    assert set(re.findall(r"^ +(\w+) --> \[\*\]", diagram, re.MULTILINE)) == ends


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([a-z_.]+:[A-Za-z_.]+)`", TEXT))))
def test_a_function_that_is_named_exists(name: str) -> None:
    module, _, path = name.partition(":")
    assert callable(reduce(getattr, path.split("."), importlib.import_module(f"service.{module}")))


@pytest.mark.parametrize("heading", ["## The path of a claim", "## The path of a step", "## The path of a line"])
def test_a_path_has_ten_lines(heading: str) -> None:
    section = TEXT.partition(heading)[2].partition("\n## ")[0]
    assert [int(number) for number in re.findall(r"^(\d+)\. ", section, re.MULTILINE)] == list(range(1, 11))


def test_the_rooms_are_those_of_the_code() -> None:
    named = {name for row in table_after(PAGE, "## Rooms") for name in re.findall(r"`(\w[\w/]*)`", row[0])}
    assert [name for name in named if not (CHECKOUT / name).is_dir()] == []
    rooms = {f"service/{folder.name}" for folder in (CHECKOUT / "service").iterdir() if any(folder.glob("*.py"))}
    assert {room for room in rooms if not any(name.startswith(room) for name in named)} == set()
