"""Streams of lines: what their text may contain, and how long a client waits for a server that is gone."""

from __future__ import annotations

import json

import pytest

from rungraph import Client, ServerUnreachable
from service.client.events import EventReader
from service.client.following import Cursor
from tests.support.api.executing import graph

ODD = "a\u2028b\u2029c\x85d\x0be"
"""Characters at which Python splits lines, and a stream of events does not."""


def test_characters_that_end_lines_elsewhere_are_data(client: Client) -> None:
    document = {**graph("add"), "start_node": ODD, "nodes": {ODD: "add"}, "edges": {}}
    run_id = client.start(document, {"n": 1})
    assert [line["seq"] for line in client.lines(run_id)] == [1, 2, 3]
    assert ODD in [line["node"] for line in client.logs(run_id)]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_events_are_read_from_any_pieces_of_their_text(size: int) -> None:
    sent = [{"message": ODD, "seq": 1}, {"message": "", "seq": 2}]
    texts = [f": keepalive\n\nid: 1\ndata: {json.dumps(each, ensure_ascii=False)}\n\n" for each in sent]
    text = "".join(texts).replace("keepalive\n\n", "keepalive\r\n\r\n")
    reader = EventReader()
    read = [event for at in range(0, len(text), size) for event in reader.feed(text[at : at + size])]
    assert read == sent


def test_the_patience_begins_anew_when_the_server_has_answered() -> None:
    gone = ServerUnreachable("gone", may_have_arrived=False)
    cursor = Cursor(0, patience_s=60.0)
    first = cursor.pause_after(gone)
    assert cursor.pause_after(gone) > first
    cursor.note_connection()
    assert cursor.pause_after(gone) == first
