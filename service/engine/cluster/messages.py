"""The messages between a server and the workers of its cluster: JSON texts, never pickled objects.

A request is the argument of a Dask task, and its answer is the task's result. While the task runs, its worker sends
events on the server's topic: when it has taken the call, when the call begins, and with each batch of log lines. Dask
delivers the events of a worker and the end of its task in the order in which they occurred.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from service.core import codec
from service.core.errors import StateInvalid
from service.core.moves import Failed, Outcome, ProcessDied, Succeeded
from service.core.state import State
from service.engine.cluster.versions import Versions
from service.engine.isolation.messages import Message, decode_outcome, encode_outcome

TOPICS = 64
"""The number of topics that servers share, so that a scheduler keeps events of a bounded number of topics."""


class Request(NamedTuple):
    """A call for a worker to make."""

    call_id: str
    """Identifies one submission of the call; empty before the first one."""
    topic: str
    versions: Versions
    """The versions that the worker must have."""
    message: Message
    """The `call` message for the process that calls the tool; see isolation/messages.py."""
    timeout_s: float | None
    tools: str
    """The digest of the tools to load."""
    arguments: Sequence[str]
    """The arguments with which the worker's Python starts a process that calls tools."""
    mark: str
    """The mark of the server's folder of runs; see folder.py."""

    @property
    def tool(self) -> str:
        return str(self.message[4])

    def encode(self) -> str:
        return codec.encode(list(self))

    @classmethod
    def decode(cls, text: str) -> Request:
        return cls(*codec.loads(text))


class Ended(NamedTuple):
    """Answer: the call has ended."""

    execution: str
    """Identifies this execution of the task, since Dask may execute a task again."""
    batches: int
    """How many batches of lines were sent as events."""
    lines: Sequence[Any]
    """The lines that were not sent as events."""
    left_out: int
    outcome: Outcome


class Unfit(NamedTuple):
    """Answer: the worker cannot make calls of this server. The tool was not called."""

    worker: str
    """The worker's address; empty if it is unknown."""
    because: str


class NeedsTools(NamedTuple):
    """Answer: the worker does not have the tools yet. The tool was not called."""


class GivenUp(NamedTuple):
    """Answer: nobody wanted the result any more, so the worker has ended the call."""


Answer = Ended | Unfit | NeedsTools | GivenUp


def encode_answer(answer: Answer) -> str:
    match answer:
        case Ended(outcome=ProcessDied(message=message)):
            return codec.encode(["ended", *answer[:4], ["died", message]])
        case Ended(outcome=outcome):
            return codec.encode(["ended", *answer[:4], encode_outcome(outcome)])
        case Unfit():
            return codec.encode(["unfit", *answer])
        case NeedsTools():
            return codec.encode(["needs_tools"])
        case GivenUp():
            return codec.encode(["given_up"])


def decode_answer(text: Any) -> Answer:
    """Decode an answer. Raise ValueError or TypeError if it is malformed."""
    match codec.loads(text) if isinstance(text, str) else None:
        case ["ended", str(execution), int(batches), list(lines), int(left_out), outcome]:
            return Ended(execution, batches, lines, left_out, _decode_outcome(outcome))
        case ["unfit", str(worker), str(because)]:
            return Unfit(worker, because)
        case ["needs_tools"]:
            return NeedsTools()
        case ["given_up"]:
            return GivenUp()
    raise ValueError("this is not an answer")


def checked(outcome: Outcome, before: State, state_bytes_max: int) -> Outcome:
    """Return `outcome` with its values checked and encoded anew, or a failure if the state cannot hold them.

    `before` is the state with which the tool was called.
    """
    if not isinstance(outcome, Succeeded):
        return outcome
    try:
        return Succeeded(before.checked(outcome.changes, state_bytes_max))
    except StateInvalid as error:
        return Failed(error.type, str(error))


def _decode_outcome(message: Any) -> Outcome:
    match message:
        case ["died", str(text)]:
            return ProcessDied(text)
        case _:
            return decode_outcome(message)
