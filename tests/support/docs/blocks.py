"""The fenced blocks of a Markdown file, with the HTML comments that mark them."""

from __future__ import annotations

import re
from typing import NamedTuple

from tests.support.checkout import CHECKOUT

_FENCE = re.compile(r"((?:^<!-- .*? -->\n)*)^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- (\w+)(?: (.*?))? -->")


class Block(NamedTuple):
    language: str
    text: str
    marks: dict[str, str]
    """The comments directly above the block: the first word of each, and the rest of it."""
    place: str
    """`FILE:LINE`, for messages."""


def blocks_of(file: str) -> list[Block]:
    """Return the blocks of a file, which is named relative to the checkout."""
    text = (CHECKOUT / file).read_text()
    return [
        Block(
            language=found[2],
            text=found[3],
            marks={mark[1]: mark[2] or "" for mark in _MARK.finditer(found[1])},
            place=f"{file}:{text.count(chr(10), 0, found.start()) + 1}",
        )
        for found in _FENCE.finditer(text)
    ]


def file_block(file: str, name: str) -> str:
    """Return the text of the block that is marked `<!-- file NAME -->`."""
    [found] = [block.text for block in blocks_of(file) if block.marks.get("file") == name]
    return found


def table_after(file: str, heading: str) -> list[list[str]]:
    """Return the rows of the first table below a heading, without its head."""
    text = (CHECKOUT / file).read_text()
    _, found, rest = text.partition(f"\n{heading}\n")
    assert found, f"{file} has no heading {heading!r}"
    rows = re.search(r"(?:^\|.*\n)+", rest, re.MULTILINE)
    assert rows is not None
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in rows[0].splitlines()[2:]]
