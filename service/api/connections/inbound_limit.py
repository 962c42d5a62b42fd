"""Limit what a client may send on a log stream, where the server reads no messages.

A WebSocket server reads whole messages and decompresses them before the application sees them, so that a few
kilobytes on the wire can become megabytes in memory. `InboundLimit` therefore replaces the server's protocol at the
connection's transport. It passes on control frames within a limit, and drops messages without decompressing them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

MESSAGE_BYTES_MAX = 2**14
"""Size of one message on the wire, in all its frames."""
BURST_BYTES_MAX = 2**16
"""How much a client may send at once."""
BYTES_PER_S = 2**10
"""How much a client may send per second in the long run. A ping or pong has about ten bytes."""
LATE_FRAMES_MAX = 1000
"""How many frames are read after a client has sent too much, to find its answer to the server's close frame."""

TOO_MUCH = 1008
TOO_LARGE = 1009

_HEAD_BYTES_MIN = 2
_MASK_BYTES = 4
_LENGTH_BYTES = {126: 2, 127: 8}
_CONTROL_BYTES_MAX = 125
_DATA = frozenset({0, 1, 2})
_CLOSE = 8
_CONTROL = frozenset({_CLOSE, 9, 10})
_RESERVED_BITS = 0x30
_COMPRESSED_BIT = 0x40


class InboundLimit(asyncio.Protocol):
    """The asyncio protocol of one connection, in front of the WebSocket server's own."""

    def __init__(self, transport: asyncio.Transport) -> None:
        inner: Any = transport.get_protocol()
        self._inner = inner
        self._loop = asyncio.get_running_loop()
        self._filter = _FrameFilter()
        self._held: bytearray | None = bytearray()
        self._allowance = float(BURST_BYTES_MAX)
        self._counted_at = self._loop.time()
        self._tell: Callable[[int], None] | None = None
        self._excess: int | None = None
        self.is_lost = False
        """Whether the connection is closed."""
        self._tell_lost: Callable[[], object] | None = None
        transport.set_protocol(self)

    def open(self) -> None:
        """Pass on what arrived during the handshake. The server can process it from now on."""
        held, self._held = self._held, None
        if held:
            self._inner.data_received(bytes(held))

    def when_exceeded(self, tell: Callable[[int], None]) -> None:
        """Call `tell` with the close code as soon as the client has sent too much, which may be now."""
        self._tell = tell
        if self._excess is not None:
            tell(self._excess)

    def when_lost(self, tell: Callable[[], object]) -> None:
        """Call `tell` as soon as the connection is closed, which may be now."""
        self._tell_lost = tell
        if self.is_lost:
            tell()

    # Called by asyncio.

    def data_received(self, data: bytes) -> None:
        if self._excess is not None:
            passed = self._filter.filter(data)
        else:
            allowed = self._allowed()
            self._allowance -= len(data)
            passed = self._filter.filter(data[:allowed])
            if self._filter.is_too_large or len(data) > allowed:
                self._exceed(TOO_LARGE if self._filter.is_too_large else TOO_MUCH)
                passed += self._filter.filter(data[allowed:])
        if self._held is not None:
            self._held += passed
        elif passed:
            self._inner.data_received(passed)

    def eof_received(self) -> Any:
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        if self._tell_lost is not None:
            self._tell_lost()
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def _allowed(self) -> int:
        """Return how many bytes may arrive now. Bring the allowance up to date first."""
        now = self._loop.time()
        self._allowance = min(BURST_BYTES_MAX, self._allowance + (now - self._counted_at) * BYTES_PER_S)
        self._counted_at = now
        return int(self._allowance)

    def _exceed(self, code: int) -> None:
        self._excess = code
        self._filter.frames_left = LATE_FRAMES_MAX
        if self._tell is not None:
            self._tell(code)


class _FrameFilter:
    """A parser of frames (RFC 6455, section 5.2) that passes on those that are not part of a message.

    An invalid frame is passed on together with everything after it, for the server to refuse.
    """

    def __init__(self) -> None:
        self.is_too_large = False
        self.frames_left: int | None = None
        """How many more frames to read once the client has sent too much. Of these, only close and invalid frames are
        passed on. None before that: there is no limit."""
        self._head = bytearray()
        self._payload_left = 0
        self._passes_on = False
        self._is_invalid = False
        self._message_bytes = 0

    def filter(self, data: bytes) -> bytes:
        if self._is_invalid:
            return data if self.frames_left is None else b""
        passed, at = bytearray(), 0
        while at < len(data) and self.frames_left != 0:
            if self._payload_left:
                end = min(at + self._payload_left, len(data))
                self._payload_left -= end - at
                if self._passes_on:
                    passed += data[at:end]
                at = end
                continue
            end = at + self._missing_of_head()
            self._head += data[at:end]
            at = min(end, len(data))
            if self._missing_of_head() == 0:
                is_invalid = self._begin_frame()
                if self._passes_on:
                    passed += self._head
                self._head.clear()
                if is_invalid:
                    return bytes(passed + data[at:])
        return bytes(passed)

    def _missing_of_head(self) -> int:
        if len(self._head) < _HEAD_BYTES_MIN:
            return _HEAD_BYTES_MIN - len(self._head)
        second = self._head[1]
        whole = _HEAD_BYTES_MIN + _LENGTH_BYTES.get(second & 0x7F, 0) + (_MASK_BYTES if second & 0x80 else 0)
        return whole - len(self._head)

    def _begin_frame(self) -> bool:
        """Parse the frame's head. Return whether it is invalid."""
        if self.frames_left is not None:
            self.frames_left -= 1
        first, second = self._head[:2]
        opcode, length = first & 0x0F, second & 0x7F
        is_last, is_masked = bool(first & 0x80), bool(second & 0x80)
        if length in _LENGTH_BYTES:
            length = int.from_bytes(self._head[2 : 2 + _LENGTH_BYTES[length]], "big")
        if opcode in _CONTROL:
            is_good = is_last and length <= _CONTROL_BYTES_MAX and not first & _COMPRESSED_BIT
        else:
            is_good = opcode in _DATA
        self._is_invalid = not is_good or not is_masked or bool(first & _RESERVED_BITS)
        self._payload_left = length
        is_late = self.frames_left is not None
        self._passes_on = self._is_invalid or opcode == _CLOSE or (opcode in _CONTROL and not is_late)
        if opcode in _DATA:
            self._message_bytes += length
            self.is_too_large = self.is_too_large or self._message_bytes > MESSAGE_BYTES_MAX
            if is_last:
                self._message_bytes = 0
        return self._is_invalid
