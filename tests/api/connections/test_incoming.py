"""What a client sends on a log stream: passed over, bounded, never inflated."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from service.api.connections import inbound_limit
from service.api.connections.inbound_limit import BURST_BYTES_MAX, MESSAGE_BYTES_MAX, TOO_LARGE, TOO_MUCH, InboundLimit
from tests.support.api.harness import Server, eventually
from tests.support.rawsocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    closed_with,
    deflated,
    frame,
    frames,
    streaming,
)

DEFLATE = "permessage-deflate; client_max_window_bits=12"

_data_frames = st.builds(
    frame,
    st.sampled_from([TEXT, BINARY, CONTINUATION]),
    st.binary(max_size=300),
    last=st.booleans(),
    compressed=st.booleans(),
)
_control_frames = st.builds(frame, st.sampled_from([PING, PONG, CLOSE]), st.binary(max_size=125))


class Transport:
    """As much of one as InboundLimit asks of it."""

    def __init__(self) -> None:
        self.received = b""
        self.protocol: Any = self

    def get_protocol(self) -> Any:
        return self.protocol

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def data_received(self, data: bytes) -> None:
        self.received += data


def passed(pieces: list[bytes], *, opened_after: int = 0) -> tuple[bytes, int | None]:
    """What of `pieces` comes through, the handshake being answered after so many; and the code of an excess."""
    codes: list[int] = []

    async def receive() -> bytes:
        transport: Any = Transport()
        made = InboundLimit(transport)
        made.when_exceeded(codes.append)
        for number, piece in enumerate(pieces):
            if number == opened_after:
                assert not transport.received
                made.open()
            made.data_received(piece)
        if len(pieces) <= opened_after:
            made.open()
        received: bytes = transport.received
        return received

    return asyncio.run(receive()), next(iter(codes), None)


@given(
    st.lists(st.tuples(st.booleans(), _data_frames, _control_frames), max_size=20),
    st.lists(st.integers(1, 40), min_size=1, max_size=20),
    st.integers(0, 5),
)
def test_control_frames_come_through_and_messages_do_not(
    sent: list[tuple[bool, bytes, bytes]], cuts: list[int], opened_after: int
) -> None:
    wire = b"".join(data if is_data else control for is_data, data, control in sent)
    expected = b"".join(control for is_data, _, control in sent if not is_data)
    pieces, at = [], 0
    for number in range(len(wire)):
        if at >= len(wire):
            break
        size = cuts[number % len(cuts)]
        pieces.append(wire[at : at + size])
        at += size
    found, code = passed(pieces, opened_after=opened_after)
    assert found == expected
    assert code is None


@pytest.mark.parametrize(
    "odd",
    [
        frame(3, b"abc"),
        frame(11),
        frame(TEXT, b"abc", masked=False),
        frame(PING, b"x" * 126),
        frame(PING, last=False),
        frame(CLOSE, b"", compressed=True),
        bytes([0x91, 0x80, 0, 0, 0, 0]),
        bytes([0xA1, 0x80, 0, 0, 0, 0]),
    ],
    ids=repr,
)
def test_what_is_no_frame_is_left_to_the_server_to_refuse(odd: bytes) -> None:
    after = b"and whatever follows"
    assert passed([frame(TEXT, b"abc") + frame(PING), odd, after]) == (frame(PING) + odd + after, None)


@pytest.mark.parametrize(
    ("pieces", "code"),
    [
        ([frame(TEXT, bytes(MESSAGE_BYTES_MAX))], None),
        ([frame(TEXT, bytes(MESSAGE_BYTES_MAX + 1))], TOO_LARGE),
        ([frame(TEXT, bytes(2**20))[:20]], TOO_LARGE),
        ([bytes([0x82, 0xFF]) + b"\xff" * 12], TOO_LARGE),
        ([frame(TEXT, bytes(9000), last=False), frame(PING), frame(CONTINUATION, bytes(9000))], TOO_LARGE),
        ([frame(TEXT, bytes(9000)), frame(TEXT, bytes(9000))], None),
        ([frame(TEXT, bytes(9000))] * (BURST_BYTES_MAX // 9000 + 1), TOO_MUCH),
        ([frame(PING, bytes(125)) * (BURST_BYTES_MAX // 100)], TOO_MUCH),
        ([frame(CONTINUATION, last=False)] * (BURST_BYTES_MAX // 6 + 999), TOO_MUCH),
        ([frame(PONG)] * 1000, None),
    ],
    ids=lambda value: f"{value!r:.40}",
)
def test_what_a_client_sends_is_bounded(pieces: list[bytes], code: int | None) -> None:
    assert passed(pieces)[1] == code


def test_what_comes_through_is_bounded_too() -> None:
    found, _ = passed([frame(PING, bytes(125))] * 10_000)
    assert len(found) < 2 * BURST_BYTES_MAX


def test_the_answer_to_our_close_comes_through_after_an_excess() -> None:
    found, code = passed([frame(TEXT, bytes(2**20)), frame(CLOSE, b"\x03\xf1")])
    assert (found, code) == (frame(CLOSE, b"\x03\xf1"), TOO_LARGE)


def test_a_client_may_send_a_little_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbound_limit, "BYTES_PER_S", 10**12)
    assert passed([frame(TEXT, bytes(9000))] * 1000)[1] is None


# With a real client


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(TEXT, b"x" * 2**20), TOO_LARGE),
        (frame(TEXT, deflated(15 * 2**20), compressed=True) * 200, TOO_MUCH),
        (frame(TEXT, last=False) + frame(CONTINUATION, last=False) * 20_000, TOO_MUCH),
        (frame(PING, bytes(125)) * 2_000, TOO_MUCH),
        (frame(TEXT, b"\xff\xfe"), None),
        (frame(TEXT, b"no deflate at all", compressed=True), None),
    ],
    ids=["large", "compressed", "fragments", "pings", "no UTF-8", "no deflate"],
)
def test_a_client_that_sends_too_much_is_told_so(
    server: Server, client: httpx.Client, sent: bytes, code: int | None
) -> None:
    run_id = server.start(client)
    with streaming(server.port, run_id, extensions=DEFLATE) as raw:
        raw.sendall(sent)
        if code is None:
            server.drive(run_id).finish()
        assert closed_with(frames(raw)) == (code or 1000)
    eventually(lambda: run_id not in server.services.store.events._subscribers)


def test_a_client_hears_why_it_is_closed(server: Server, client: httpx.Client) -> None:
    run_id = server.start(client)
    url = f"ws://127.0.0.1:{server.port}/ws/logs/{run_id}"
    with connect(url, proxy=None, open_timeout=20, compression=None) as socket:
        socket.send("x" * (MESSAGE_BYTES_MAX + 1))
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(20)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009
    assert "read-only" in closed.value.rcvd.reason


def test_pings_are_answered(server: Server, client: httpx.Client) -> None:
    run_id = server.start(client)
    with streaming(server.port, run_id) as raw:
        raw.sendall(frame(PING, b"are you there"))
        assert next(frames(raw)) == (PONG, b"are you there")
