"""The messages between a server and a process that calls tools for it: JSON over a socket, never pickle.

A message is a list that begins with its kind. It is sent as the length of its text in bytes, followed by the text. The
server sends

    load TOOLS
    call RUN_ID ENTRIES NODE TOOL METADATA STEP ATTEMPT RUNS_FOLDER STATE_BYTES_MAX TRACE

The process answers `load` with `ready`, or with `refused MESSAGE` if its tools cannot be loaded. It answers `call` with
`begun`, any number of `line MESSAGE LEVEL DATA TIME`, `left_out COUNT` if lines were left out, then
`succeeded SET UNSET` or `failed TYPE MESSAGE TRACE`, and finally `free` when it can take the next call. Values of the
state are sent as their stored JSON texts, so that they stay the same to the last bit.
"""

from __future__ import annotations

import socket
import struct
import time
from pathlib import Path
from typing import Any, NamedTuple

from service.core import codec
from service.core.moves import CallTool, Failed, Outcome, Succeeded
from service.core.run import Run
from service.core.state import Changes, Entry, State
from service.core.syntax.trace_context import Trace
from service.engine.call import Unshared

Message = list[Any]

PYTHONPATH_GIVEN = "RUNGRAPH_PYTHONPATH"
"""The environment variable that tells a process the server's PYTHONPATH."""

LIFELINE = "RUNGRAPH_LIFELINE"
"""The environment variable that tells a process the file descriptor of the server's lifeline."""

EXIT_DISCONNECTED = 70
"""The exit code of a process that can no longer use its connection, usually because its tool has closed the socket."""

_LENGTH = struct.Struct(">Q")
_CHUNK_BYTES = 2**18
_WAIT_S_MAX = 3600.0
"""Longer waits are split, since the system limits the timeouts of sockets to some days."""


class Connection:
    """One end of the socket. Only one thread may read. Threads that write must share a lock."""

    def __init__(self, end: socket.socket, message_bytes_max: int) -> None:
        self._socket = end
        self._message_bytes_max = message_bytes_max
        self._read = bytearray()

    def send(self, message: Message, until: float | None = None) -> None:
        """Send a message. Raise OSError if the other end is gone, TimeoutError if the message is not sent by `until`.

        `until` is a time of the monotonic clock.
        """
        text = codec.encode(message).encode("utf-8", "surrogatepass")
        rest = memoryview(_LENGTH.pack(len(text)) + text)
        while rest:
            self._limit(until)
            try:
                rest = rest[self._socket.send(rest) :]
            except TimeoutError:
                continue

    def receive(self, until: float | None = None) -> Message:
        """Return the next message.

        Raise EOFError if the other end has closed the connection, TimeoutError if the message has not arrived by
        `until`, and ValueError or TypeError if the message is malformed.
        """
        self._read_up_to(_LENGTH.size, until)
        (length,) = _LENGTH.unpack_from(self._read)
        if length > self._message_bytes_max:
            raise ValueError(f"a message of {length} bytes")
        end = _LENGTH.size + length
        self._read_up_to(end, until)
        text = self._read[_LENGTH.size : end].decode("utf-8", "surrogatepass")
        del self._read[:end]
        message = codec.loads(text)
        if not isinstance(message, list):
            raise TypeError("a message must be a list")
        return message

    def is_quiet(self) -> bool:
        """Return whether the other end is connected and has sent nothing that was not received yet."""
        self._socket.settimeout(0)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return not self._read
        except OSError:
            return False
        return False

    def close(self) -> None:
        self._socket.close()

    def _read_up_to(self, length: int, until: float | None) -> None:
        while len(self._read) < length:
            self._limit(until)
            try:
                chunk = self._socket.recv(_CHUNK_BYTES)
            except TimeoutError:
                continue
            if not chunk:
                raise EOFError
            self._read += chunk

    def _limit(self, until: float | None) -> None:
        if until is None:
            self._socket.settimeout(None)
            return
        if (left := until - time.monotonic()) <= 0:
            raise TimeoutError
        self._socket.settimeout(min(left, _WAIT_S_MAX))


def encode_call(
    run: Run, move: CallTool, runs_folder: Path, state_bytes_max: int, trace: Trace | None = None
) -> Message:
    """Return the message that asks a process to make the call of `move`. `trace` is the span of the attempt."""
    place = [move.node, move.tool, move.metadata, move.step, move.attempt]
    return ["call", run.id, dict(run.state.entries), *place, str(runs_folder), state_bytes_max, trace]


def without_folder(message: Message, because: str) -> Message:
    """Return `message`, a `call`, for a process that has no folder of runs. `because` tells the tool the reason."""
    return [*message[:-3], {"unshared": because}, *message[-2:]]


class IsolatedCall(NamedTuple):
    """A call as the process receives it."""

    run_id: str
    state: State
    move: CallTool
    runs_folder: Path | Unshared
    state_bytes_max: int
    trace: Trace | None
    """The span of the attempt, if the server traces."""


def decode_call(message: Message) -> IsolatedCall:
    _, run_id, entries, node, tool, metadata, step, attempt, runs_folder, state_bytes_max, trace = message
    state = State({key: Entry(*entry) for key, entry in entries.items()})
    move = CallTool(node, tool, metadata, step, attempt)
    folder = Path(runs_folder) if isinstance(runs_folder, str) else Unshared(runs_folder["unshared"])
    return IsolatedCall(run_id, state, move, folder, state_bytes_max, trace and Trace(*trace))


def encode_outcome(outcome: Outcome) -> Message:
    """Return the message that reports the outcome of a call."""
    match outcome:
        case Succeeded(changes=changes):
            return ["succeeded", dict(changes.set), list(changes.unset)]
        case Failed(type=type_, message=message, trace=trace):
            return ["failed", type_, message, trace]
    raise TypeError(f"{outcome!r} is not an outcome of a call")


def decode_outcome(message: Message) -> Outcome:
    """Decode an outcome. Raise ValueError or TypeError if the message is malformed."""
    match message:
        case ["succeeded", dict(changed), list(unset)]:
            return Succeeded(Changes({key: Entry(*entry) for key, entry in changed.items()}, tuple(unset)))
        case ["failed", str(type_), str(text), str(trace)]:
            return Failed(type_, text, trace)
    raise ValueError("this is not an outcome")
