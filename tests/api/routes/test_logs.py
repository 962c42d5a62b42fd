"""Lines live: over a WebSocket, and as server-sent events."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from service.api.routes.runs import logs
from tests.support.api.harness import Server, eventually


@contextmanager
def following(server: Server, run_id: str, after_seq: int = 0) -> Iterator[ClientConnection]:
    url = f"ws://127.0.0.1:{server.port}/ws/logs/{run_id}?after_seq={after_seq}"
    with connect(url, proxy=None, open_timeout=60, max_queue=None) as socket:
        yield socket


def rest_of(socket: ClientConnection) -> tuple[list[Any], int]:
    """Every message until the server closes, and its code."""
    lines = [json.loads(message) for message in socket]
    assert socket.close_code is not None
    return lines, socket.close_code


def stored(client: httpx.Client, run_id: str) -> list[Any]:
    found: list[Any] = client.get(f"/runs/{run_id}/logs").json()["items"]
    return found


class TestWebSocket:
    def test_stored_lines_come_first_then_live_ones_then_1000(self, server: Server, client: httpx.Client) -> None:
        run_id = server.start(client, until=3)
        driven = server.drive(run_id)
        driven.step()
        with following(server, run_id) as socket:
            assert [json.loads(socket.recv(20))["event"] for _ in range(2)] == ["run_started", "step_completed"]
            driven.log("in the middle of a step")
            assert json.loads(socket.recv(20))["message"] == "in the middle of a step"
            driven.finish()
            lines, code = rest_of(socket)
        assert code == 1000
        assert lines == stored(client, run_id)[3:]
        assert lines[-1]["event"] == "run_completed"

    def test_nothing_left_closes_at_once(self, server: Server, client: httpx.Client) -> None:
        run_id = server.start(client)
        server.drive(run_id).finish()
        last_seq = client.get(f"/graph/state/{run_id}").json()["last_seq"]
        for after_seq in (last_seq, last_seq + 5, 2**63 - 1):
            with following(server, run_id, after_seq) as socket:
                assert rest_of(socket) == ([], 1000)

    def test_a_client_that_is_cut_off_goes_on_where_it_was(self, server: Server, client: httpx.Client) -> None:
        run_id = server.start(client, until=40)
        driven = server.drive(run_id)
        driver = threading.Thread(target=driven.finish)
        seen: list[Any] = []
        for cut in range(10):
            with following(server, run_id, seen[-1]["seq"] if seen else 0) as socket:
                if not cut:
                    driver.start()
                seen += [json.loads(socket.recv(20)) for _ in range(3)]
        driver.join()
        with following(server, run_id, seen[-1]["seq"]) as socket:
            rest, code = rest_of(socket)
        assert code == 1000
        assert seen + rest == stored(client, run_id)
        assert [line["seq"] for line in seen + rest] == list(range(1, 43))

    def test_what_a_client_sends_is_passed_over(self, server: Server, client: httpx.Client) -> None:
        run_id = server.start(client)
        driven = server.drive(run_id)
        with following(server, run_id) as socket:
            for message in ("x" * 1000, b"\x00", "{}"):
                socket.send(message)
            driven.finish()
            assert rest_of(socket)[1] == 1000

    def test_a_client_that_leaves_is_forgotten_at_once(self, server: Server, client: httpx.Client) -> None:
        run_id = server.start(client)
        wake = server.services.store.events
        with following(server, run_id) as socket:
            eventually(lambda: run_id in wake._subscribers)
            socket.close()
        eventually(lambda: run_id not in wake._subscribers)


class TestEvents:
    def test_the_lines_come_with_their_seq_as_id(self, server: Server, client: httpx.Client) -> None:
        run_id = server.start(client, until=2)
        driven = server.drive(run_id)
        driven.log("\u2028 line\nbreaks\r\n ☃")
        with client.stream("GET", f"/runs/{run_id}/events") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["cache-control"] == "no-store"
            pieces = answer.iter_raw()
            text = next(pieces).decode()
            driven.finish()
            text += b"".join(pieces).decode()
        events = text.removesuffix("\n\n").split("\n\n")
        expected = [f"id: {line['seq']}" for line in stored(client, run_id)]
        assert [event.split("\n")[0] for event in events] == expected
        assert all(len(event.split("\n")) == 2 for event in events)
        assert [json.loads(event.split("\n")[1].removeprefix("data: ")) for event in events] == stored(client, run_id)

    def test_the_last_event_id_beats_after_seq(self, server: Server, client: httpx.Client) -> None:
        run_id = server.start(client)
        server.drive(run_id).finish()
        answer = client.get(f"/runs/{run_id}/events?after_seq=0", headers={"Last-Event-ID": "2"})
        assert answer.text.startswith("id: 3\n")
        assert answer.text.count("id: ") == 1

    @pytest.mark.parametrize("after_seq", [3, 4, 2**63 - 1])
    def test_a_run_that_is_over_and_read_is_204(self, server: Server, client: httpx.Client, after_seq: int) -> None:
        run_id = server.start(client)
        server.drive(run_id).finish()
        answer = client.get(f"/runs/{run_id}/events", headers={"Last-Event-ID": str(after_seq)})
        assert (answer.status_code, answer.content) == (204, b"")

    def test_a_quiet_stream_gets_comments(
        self, server: Server, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(logs, "KEEPALIVE_S", 0.1)
        run_id = server.start(client)
        with client.stream("GET", f"/runs/{run_id}/events") as answer:
            assert next(answer.iter_raw()) == b":\n\n"
