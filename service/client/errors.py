"""The errors that a client raises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.core.errors import Fault, RungraphError

FAULTS_SHOWN_MAX = 10


class ApiError(RungraphError):
    """The server refused a call. The attributes are the fields of its problem document (RFC 9457)."""

    def __init__(
        self, status: int, title: str = "", detail: str = "", errors: Sequence[Fault] = (), type: str = "about:blank"
    ) -> None:
        self.status = status
        """The status of the answer, such as 404."""
        self.title = title
        self.detail = detail
        self.errors = tuple(errors)
        """The faults of a 422, each with a `pointer` and a `message`."""
        self.type = type
        super().__init__(self.reason)

    @property
    def reason(self) -> str:
        """At most FAULTS_SHOWN_MAX faults with their pointers; if there are no faults, the first line of the detail."""
        if not self.errors:
            return (self.detail or self.title or "no reason is given").partition("\n")[0]
        told = [f"{fault.pointer or '/'}: {fault.message}" for fault in self.errors[:FAULTS_SHOWN_MAX]]
        more = len(self.errors) - len(told)
        return "; ".join(told) + (f"; and {more} more" if more else "")

    @classmethod
    def of(cls, status: int, problem: dict[str, Any]) -> ApiError:
        """Return the error that a problem document describes."""
        faults = problem.get("errors")
        return cls(
            status,
            str(problem.get("title") or ""),
            str(problem.get("detail") or ""),
            [Fault(str(each["pointer"]), str(each["message"])) for each in faults or ()],
            str(problem.get("type") or "about:blank"),
        )

    def __reduce__(self) -> Any:
        return type(self), (self.status, self.title, self.detail, self.errors, self.type)


class NotRungraph(ApiError):
    """The answer does not come from Rungraph, because its body is not a JSON object."""


class ServerUnreachable(RungraphError, ConnectionError):
    """No answer came. `may_have_arrived` is False if the server cannot have received the call."""

    def __init__(self, message: str, *, may_have_arrived: bool = True) -> None:
        super().__init__(message)
        self.may_have_arrived = may_have_arrived
