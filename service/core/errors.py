"""The errors that Rungraph raises.

RungraphError
├── NotJson              text that is not JSON (HTTP 400)
├── Invalid              JSON of the wrong shape, or a value that a state cannot hold (422)
├── NotFound             the call names something that does not exist, such as a run (404)
├── Conflict             the call conflicts with what is stored (409)
├── Unavailable          the database cannot answer now; nothing was lost (503)
├── LeaseLost            another server may write the run now: stop and write nothing
├── AttemptError         an attempt failed; `type` is shown in the run's `error`
│   ├── StateInvalid     a value cannot be the state of a run
│   └── ConditionError   a condition reads a missing key or is too much work
└── StartRefused         a setting, a tool file or the database prevents the start
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class RungraphError(Exception):
    """The base class of all errors of this module."""


class NotJson(RungraphError):
    """Raised for a text that is not JSON (RFC 8259), repeats a key in an object, or has a number out of range."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault in a document: its place, as a JSON Pointer into the document that was sent, and its message."""

    pointer: str
    message: str


class Invalid(RungraphError):
    """A document has faults, which `faults` lists."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{fault.pointer or '/'}: {fault.message}" for fault in faults))

    @classmethod
    def at(cls, pointer: str, message: str) -> Invalid:
        return cls([Fault(pointer, message)])


class NotFound(RungraphError):
    def __init__(self, kind: str, name: str, hint: str = "") -> None:
        super().__init__(f"no {kind} {name!r}{hint}")


class Conflict(RungraphError):
    """The call conflicts with what is stored; the message says with what."""


class Unavailable(RungraphError):
    """The database cannot answer now; the message has its reason."""


class LeaseLost(RungraphError):
    def __init__(self, run_id: str, lease_token: int) -> None:
        super().__init__(f"lease {lease_token} on run {run_id} no longer holds")


class AttemptError(RungraphError):
    """An attempt failed; `type` is its error type, as the HTTP API shows it."""

    type = "tool_error"


class StateInvalid(AttemptError):
    type = "invalid_state"


class ConditionError(AttemptError):
    type = "condition_error"


class StartRefused(RungraphError):
    """The server cannot start; the message is one line for the person who started it."""
