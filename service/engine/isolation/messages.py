"""What a server and a process that calls tools for it say to one another: JSON over a socket, never pickle.

A message is a list, its kind first, sent as its length and its text. The server says

    load TOOLS
    call RUN_ID ENTRIES NODE TOOL METADATA STEP ATTEMPT RUNS_FOLDER STATE_BYTES_MAX

and the process `ready`, or `refused MESSAGE` where its tools cannot be loaded; and of each call `begun`, any
`line`s, one of `succeeded SET UNSET`, `failed TYPE MESSAGE TRACE`, how many `left_out`, and `free` for the next call.
Values of the state go as the JSON texts that they are stored as, so that they come back to the last bit.
"""

from __future__ import annotations

import socket
import struct
import time
from pathlib import Path
from typing import Any

from service.core import codec
from service.core.moves import CallTool, Failed, Outcome, Succeeded
from service.core.run import Run
from service.core.state import Changes, Entry, State

Message = list[Any]

PYTHONPATH_GIVEN = "RUNGRAPH_PYTHONPATH"
"""Where a process finds in its environment what PYTHONPATH was for the server."""

LIFELINE = "RUNGRAPH_LIFELINE"
"""Where it finds the descriptor of its server's lifeline."""

CUT_OFF = 70
"""The exit code of a process whose tool has closed the connection."""

_LENGTH = struct.Struct(">Q")
_CHUNK_BYTES = 2**18
_WAIT_S_MAX = 3600.0
"""Longer waits are made of these: the system's own timeouts take no more than some days."""


class Connection:
    """One end of the socket, for one thread to read and any that have a lock of their own to write."""

    def __init__(self, end: socket.socket, message_bytes_max: int) -> None:
        self._socket = end
        self._message_bytes_max = message_bytes_max
        self._read = bytearray()

    def send(self, message: Message, until: float | None = None) -> None:
        """Raises OSError where nobody reads, TimeoutError among them where nobody has `until` then (monotonic)."""
        text = codec.encode(message).encode("utf-8", "surrogatepass")
        rest = memoryview(_LENGTH.pack(len(text)) + text)
        while rest:
            self._limit(until)
            try:
                rest = rest[self._socket.send(rest) :]
            except TimeoutError:
                continue

    def receive(self, until: float | None = None) -> Message:
        """The next message. EOFError where there is none any more, TimeoutError where none came `until` then."""
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
            raise TypeError("a message is a list")
        return message

    def is_quiet(self) -> bool:
        """Whether the other end is there, and says nothing."""
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


def request(run: Run, move: CallTool, runs_folder: Path, state_bytes_max: int) -> Message:
    """The message that asks for the call of `move`."""
    place = [move.node, move.tool, move.metadata, move.step, move.attempt]
    return ["call", run.id, dict(run.state.entries), *place, str(runs_folder), state_bytes_max]


def asked(message: Message) -> tuple[str, State, CallTool, Path, int]:
    """What `request` was made of: the run's id, its state, the move, the folder of runs, the state's limit."""
    _, run_id, entries, node, tool, metadata, step, attempt, runs_folder, state_bytes_max = message
    state = State({key: Entry(*entry) for key, entry in entries.items()})
    return run_id, state, CallTool(node, tool, metadata, step, attempt), Path(runs_folder), state_bytes_max


def answer(outcome: Outcome) -> Message:
    """The message that says how a call came out."""
    match outcome:
        case Succeeded(changes=changes):
            return ["succeeded", dict(changes.set), list(changes.unset)]
        case Failed(type=type_, message=message, trace=trace):
            return ["failed", type_, message, trace]
    raise TypeError(f"no call comes out as {outcome!r}")


def answered(message: Message) -> Outcome:
    """What `answer` was made of; ValueError or TypeError where it was made of nothing such."""
    match message:
        case ["succeeded", dict(changed), list(unset)]:
            return Succeeded(Changes({key: Entry(*entry) for key, entry in changed.items()}, tuple(unset)))
        case ["failed", str(type_), str(text), str(trace)]:
            return Failed(type_, text, trace)
    raise ValueError("this is no answer")
