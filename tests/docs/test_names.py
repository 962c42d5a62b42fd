"""The lists of commands, metrics and types of errors in `docs/` are those of the code."""

from __future__ import annotations

import re

from service.core.graph import ERROR_TYPES
from tests.support.checkout import CHECKOUT
from tests.support.docs.blocks import table_after
from tests.support.docs.terminal import COMMANDS, TERMINAL, reference
from tests.support.system.process import Server


def test_every_command_has_its_section_with_all_arguments() -> None:
    """`python -m tests.docs docs/terminal.md` rewrites the page."""
    assert (CHECKOUT / TERMINAL).read_text().partition(COMMANDS)[2] == reference()


def test_every_type_of_error_is_explained() -> None:
    text = (CHECKOUT / "docs/guide.md").read_text()
    [table] = re.findall(r"^\| type of error \|.*\n\|---\|---\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    explained = {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert explained == {*ERROR_TYPES, "server_lost", "interrupted"}


def test_every_metric_is_in_the_table_with_its_type(server: Server) -> None:
    rows = {row[0].strip("`").partition("{")[0]: row[1] for row in table_after("docs/operations.md", "### Metrics")}
    served = dict(re.findall(r"^# TYPE (\w+) (\w+)$", server.call("GET", "/metrics").text, re.MULTILINE))
    ours = {name: kind for name, kind in served.items() if name.startswith("rungraph_")}
    assert rows == ours
