"""Session cookies, which count as the bearer token does.

A cookie holds the time of its end and a signature made with the token. Every server that has the token accepts it, and
no server stores it. Another token makes all cookies invalid.
"""

from __future__ import annotations

import hashlib
import hmac
import time

from starlette.responses import Response
from starlette.types import Scope

from service.api.prefix import prefix

SESSION_S = 30 * 24 * 60 * 60
"""How long a cookie is valid."""
_END_DIGITS_MAX = 12


class Sessions:
    """Issue and check the cookies of one token."""

    def __init__(self, token: bytes) -> None:
        self._key = hmac.digest(token, b"rungraph session", "sha256")
        # Browsers share cookies between the ports of a host, where several servers may run.
        self.cookie = f"rungraph_session_{self._sign(b'name')[:8]}"

    def is_valid(self, value: str) -> bool:
        """Return whether `value` is the value of a cookie that was issued for this token and has not ended."""
        end, _, signature = value.partition(".")
        if not (end.isascii() and end.isdecimal() and len(end) <= _END_DIGITS_MAX):
            return False
        is_ours = hmac.compare_digest(signature.encode(), self._sign(end.encode()).encode())
        return is_ours and int(end) > time.time()

    def begin(self, response: Response, scope: Scope) -> None:
        """Add the cookie to the answer to the call of `scope`."""
        end = str(int(time.time()) + SESSION_S)
        self._set(response, scope, f"{end}.{self._sign(end.encode())}", SESSION_S)

    def end(self, response: Response, scope: Scope) -> None:
        """Let the browser forget the cookie."""
        self._set(response, scope, "", 0)

    def _set(self, response: Response, scope: Scope, value: str, max_age: int) -> None:
        response.set_cookie(
            self.cookie,
            value,
            max_age=max_age,
            path=prefix(scope) or "/",
            secure=scope["scheme"] in ("https", "wss"),
            httponly=True,
            samesite="strict",
        )

    def _sign(self, text: bytes) -> str:
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()
