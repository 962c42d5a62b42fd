"""WebSocket clients that may break every rule of the protocol, because they send bytes on a plain socket."""

from __future__ import annotations

import socket
import struct
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


def upgrade(run_id: str, *, extensions: str = "", after_seq: int = 0) -> bytes:
    """The handshake of a log stream."""
    asked = f"Sec-WebSocket-Extensions: {extensions}\r\n" if extensions else ""
    return (
        f"GET /ws/logs/{run_id}?after_seq={after_seq} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"{asked}\r\n"
    ).encode()


def frame(
    opcode: int, payload: bytes = b"", *, last: bool = True, compressed: bool = False, masked: bool = True
) -> bytes:
    first = opcode | (0x80 if last else 0) | (0x40 if compressed else 0)
    size = len(payload)
    second = 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", first, second | size)
    elif size < 2**16:
        head = struct.pack("!BBH", first, second | 126, size)
    else:
        head = struct.pack("!BBQ", first, second | 127, size)
    # A mask of zeros leaves the payload as it is.
    return head + (bytes(4) if masked else b"") + payload


def deflated(size: int) -> bytes:
    """`size` bytes as permessage-deflate has them: about a thousandth."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -12)
    return (squeeze.compress(bytes(size)) + squeeze.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")


@contextmanager
def connected(port: int, *, timeout_s: float = 20) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as raw:
        yield raw


@contextmanager
def streaming(port: int, run_id: str, *, extensions: str = "") -> Iterator[socket.socket]:
    """A client whose handshake is done."""
    with connected(port) as raw:
        raw.sendall(upgrade(run_id, extensions=extensions))
        head = b""
        while b"\r\n\r\n" not in head:
            # One by one: frames may follow.
            piece = raw.recv(1)
            assert piece
            head += piece
        assert head.startswith(b"HTTP/1.1 101 "), head
        yield raw


def frames(raw: socket.socket) -> Generator[tuple[int, bytes]]:
    """What the server sends, until the connection ends."""
    with suppress(ConnectionError), raw.makefile("rb") as read:
        while head := read.read(2):
            size = head[1] & 127
            if size > 125:
                size = int.from_bytes(read.read(2 if size == 126 else 8), "big")
            yield head[0] & 15, read.read(size)


def closed_with(reading: Iterable[tuple[int, bytes]]) -> int | None:
    """The code with which the server closes, once it has; None where it says none. `reading` are its `frames`."""
    for opcode, payload in reading:
        if opcode == CLOSE:
            return int.from_bytes(payload[:2], "big")
    return None


def reset(raw: socket.socket) -> None:
    """Leave without a word."""
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.close()
