"""Every error that Rungraph raises itself.

RungraphError
├── NotJson              text that is no JSON (HTTP 400)
├── Invalid              JSON of the wrong shape, or a value that a state cannot hold (422)
├── NotFound             no such graph, run, step or file (404)
├── Conflict             the call clashes with what is stored (409)
├── Unavailable          the database cannot take it now; nothing was lost (503)
├── LeaseLost            somebody else may write the run now: stop, write nothing
├── AttemptError         an attempt failed, with the type that its run's `error` shows
│   ├── StateInvalid     a tool left something that is no JSON state
│   └── ConditionError   an edge asked for a key that is not there
└── StartRefused         a setting, a tool file or the database forbids starting
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class RungraphError(Exception):
    """The root of the tree above."""


class NotJson(RungraphError):
    """The text is not JSON as RFC 8259 has it, or a number in it is out of range."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a document: where (a JSON Pointer into it as it was sent) and what."""

    pointer: str
    message: str


class Invalid(RungraphError):
    """A document with faults, all of them."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{fault.pointer or '/'}: {fault.message}" for fault in faults))

    @classmethod
    def at(cls, pointer: str, message: str) -> Invalid:
        return cls([Fault(pointer, message)])


class NotFound(RungraphError):
    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"no {kind} {name!r}")


class Conflict(RungraphError):
    """The message says with what."""


class Unavailable(RungraphError):
    """The message says what the database answered."""


class LeaseLost(RungraphError):
    def __init__(self, run_id: str, lease_token: int) -> None:
        super().__init__(f"lease {lease_token} on run {run_id} no longer holds")


class AttemptError(RungraphError):
    """What made an attempt fail; `type` is the contract's name for it."""

    type = "tool_error"


class StateInvalid(AttemptError):
    type = "invalid_state"


class ConditionError(AttemptError):
    type = "condition_error"


class StartRefused(RungraphError):
    """The message is one clear line for the person who started the server."""
