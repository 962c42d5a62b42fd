"""Session cookies. A valid cookie counts as the bearer token does.

A cookie holds the time at which it expires and a signature made with the token. Every server that has the token accepts
the cookie, and no server stores it. If the token changes, all cookies become invalid. A server remembers, until it
stops, the cookies that were ended on it. Other servers accept a copy of such a cookie until it expires.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Scope

from service.api.prefix import prefix

SESSION_S = 30 * 24 * 60 * 60
"""The number of seconds for which a session cookie is valid."""
ENDED_MAX = 10_000
"""How many ended sessions a server remembers: those that ended last."""


class Sessions:
    """The issuer and checker of the cookies of one token."""

    def __init__(self, token: bytes) -> None:
        self._key = hmac.digest(token, b"rungraph session", "sha256")
        # Browsers share cookies between the ports of a host, where several servers may run.
        self.cookie = f"rungraph_session_{self._sign(b'name')[:8]}"

        self._ended: dict[str, None] = {}

    def is_valid(self, value: str) -> bool:
        """Return whether `value` is a cookie of this token that has neither expired nor been ended by `end`."""
        text, _, signature = value.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(text.encode()).encode()):
            return False
        return value not in self._ended and int(text.partition(".")[0]) > time.time()

    def has_session(self, scope: Scope) -> bool:
        """Return whether the call of `scope` has a valid cookie."""
        return self.is_valid(self._value_in(scope))

    def begin(self, response: Response, scope: Scope) -> None:
        """Set a new cookie in `response`, the answer to the call of `scope`."""
        text = f"{int(time.time()) + SESSION_S}.{secrets.token_hex(8)}"
        self._set(response, scope, f"{text}.{self._sign(text.encode())}", SESSION_S)

    def end(self, response: Response, scope: Scope) -> None:
        """Stop accepting the cookie that the call of `scope` has sent, and let `response` delete it in the browser."""
        if self.has_session(scope):
            self._ended[self._value_in(scope)] = None
            if len(self._ended) > ENDED_MAX:
                del self._ended[next(iter(self._ended))]
        self._set(response, scope, "", 0)

    def _value_in(self, scope: Scope) -> str:
        return HTTPConnection(scope).cookies.get(self.cookie, "")

    def _set(self, response: Response, scope: Scope, value: str, max_age: int) -> None:
        response.set_cookie(
            self.cookie,
            value,
            max_age=max_age,
            path=prefix(scope) or "/",
            secure=scope["scheme"] in ("https", "wss"),
            httponly=True,
            samesite="Strict",  # type: ignore[arg-type]  # Starlette accepts capitals and keeps them.
        )

    def _sign(self, text: bytes) -> str:
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()
