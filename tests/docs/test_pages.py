"""Every block of the documentation is executed; calls, settings, bounds and names in it are those of the code."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.checkout import CHECKOUT
from tests.support.docs.answers import difference, pretty
from tests.support.docs.blocks import blocks_of
from tests.support.docs.curl import commands_of
from tests.support.docs.pages import Page
from tests.support.docs.preparing import EXAMPLES, PAGES
from tests.support.system.process import Server

ALL = [*PAGES, *(f"examples/{name}/README.md" for name in EXAMPLES)]


@pytest.mark.parametrize("file", [page for page in PAGES if page != "docs/sql.md"])
def test_every_block_of_a_page_does_what_it_shows(server: Server, file: str) -> None:
    Page(file, server).execute()


def test_every_call_of_the_api_has_its_section(server: Server) -> None:
    document = server.call("GET", "/openapi.json").json()
    headings = re.findall(r"^### (.*)$", (CHECKOUT / "docs/http.md").read_text(), re.MULTILINE)
    described = {(method, path) for text in headings for method, path in re.findall(r"([A-Z]+) (/[^?`]*)", text)}
    calls = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert calls - described == set()


@pytest.mark.parametrize("file", ALL)
def test_every_link_leads_to_a_file_and_a_heading(file: str) -> None:
    text = re.sub(r"```.*?```", "", (CHECKOUT / file).read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (CHECKOUT / file).parent / path if path else CHECKOUT / file
        assert found.exists(), f"{file}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in headings}, target


@pytest.mark.parametrize("file", ALL)
def test_no_line_of_a_page_is_too_long(file: str) -> None:
    text = re.sub(r"```.*?```", "", (CHECKOUT / file).read_text(), flags=re.DOTALL)
    assert [line for line in text.splitlines() if len(line) > 120 and not line.startswith("|")] == []


@pytest.mark.parametrize(
    ("shown", "given", "found"),
    [
        ({"a": 1}, {"a": 1}, None),
        ({"a": 1}, {"a": 1.0}, "/a is 1.0"),
        ({"a": 1}, {"a": 1, "b": 2}, "/ has ['a', 'b']"),
        ({"a": 1, "…": "…"}, {"a": 1, "b": 2}, None),
        ([1, "…"], [1, 2, 3], None),
        ([1], [1, 2], "/ has 2 elements"),
        ({"at": "2026-01-01T00:00:00.000Z"}, {"at": "2027-02-02T00:00:00.000Z"}, None),
        ({"at": "…"}, {"at": None}, None),
        ({"duration_ms": 1.5}, {"duration_ms": 2.5}, None),
        ({"duration_ms": 1.5}, {"duration_ms": None}, "/duration_ms is None"),
        ("run x", "run y", "/ is 'run y'"),
    ],
)
def test_an_answer_is_held_against_the_one_shown(shown: Any, given: Any, found: str | None) -> None:
    assert difference(shown, given) == found


def test_a_curl_line_may_go_over_several_lines() -> None:
    assert commands_of("curl -s a -d '{\n  \"b\": 1}'\nls\ncurl -s \\\n  c\n") == [
        "curl -s a -d '{\n  \"b\": 1}'",
        "curl -s    c",
    ]
    assert pretty({"a": [1, 2]}, width=8) == '{\n  "a": [1, 2]\n}'


def test_no_page_is_without_blocks() -> None:
    assert [page for page in PAGES if not blocks_of(page)] == []
