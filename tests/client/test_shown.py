"""What a notebook shows of a run: its picture and its last lines, with nothing of the data executed."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from rungraph import Client
from service.client import RunView
from service.client.picture import picture_of
from tests.support.api.executing import graph
from tests.support.core.strategies import NODES

EVIL = "<script>alert(1)</script>"
PATH = {"nodes": {EVIL: {"visits": 2, "failures": 0}}, "edges": [{"from": EVIL, "to": "b", "index": 0, "count": 1}]}
DEFINITION = {
    "start_node": EVIL,
    "nodes": {EVIL: {"tool": "add"}, "b": {"tool": "add"}, "unreached": {"tool": "add"}},
    "edges": {EVIL: [{"to": "b"}, {"to": EVIL}], "b": [{"to": EVIL}, {"to": None}]},
}
LINE = {"ts": "2030-01-01T00:00:00.000Z", "node": EVIL, "message": f"| {EVIL} [a](javascript:b) `c`\nd"}
RUN = {
    "run_id": "r",
    "status": "failed",
    "current_node": EVIL,
    "step": 1,
    "state": {"x": f"</pre>{EVIL}"},
    "error": {"type": "tool_error", "message": EVIL},
}


def test_data_is_escaped() -> None:
    view = RunView(RUN, DEFINITION, PATH, [LINE])
    html, markdown = view._repr_html_(), view._repr_markdown_()
    for shown in (html, markdown):
        assert "<script" not in shown
    assert html.count("</pre>") == 1
    assert "](" not in markdown
    assert markdown.splitlines()[-1].count("|") == markdown.splitlines()[-1].count("\\|") + 4
    ET.fromstring(html)


def test_a_picture_is_well_formed_and_has_every_node() -> None:
    svg = ET.fromstring(picture_of(DEFINITION, PATH, "b"))
    titles = [title.text for title in svg.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == [EVIL, "b", "unreached"]
    odd = {"start_node": "\x00", "nodes": {"\x00": {}, **{name: {} for name in NODES}}, "edges": {}}
    ET.fromstring(picture_of(odd, {"nodes": {}, "edges": []}, None))
    many = {"start_node": "0", "nodes": {str(number): {} for number in range(1000)}, "edges": {}}
    assert picture_of(many, {"nodes": {}, "edges": []}, None) == ""


def test_a_run_of_a_server_shows_itself(client: Client) -> None:
    run = client.wait(client.start(graph("add", "add"), {"n": 0}), 60)
    html = run._repr_html_()
    assert html is not None
    assert "completed after step 2" in html
    assert html.count("<rect") == 2
    assert "a → b" in html
