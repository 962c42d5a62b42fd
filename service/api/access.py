"""Who may call: a token's bearer, or without a token whoever is on this machine. For HTTP and WebSockets.

Browsers are on this machine too and run strangers' pages, hence the rules on `Host` and `Origin`. A refusal
is an HTTP answer, also where a WebSocket was asked for.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from functools import lru_cache

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.prefix import path_within
from service.api.responses.problems import problem
from service.api.services import ApiSettings

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
TOKEN_FREE = frozenset({"/livez"})

_UNKNOWN = "this server asks for its token: send `Authorization: Bearer TOKEN`, the token being its RUNGRAPH_API_TOKEN"
_REMOTE = (
    "this server has no token, so that it answers clients of its own machine alone, and {client} is none: set"
    " RUNGRAPH_API_TOKEN on the server and send it, or set RUNGRAPH_ALLOW_ANONYMOUS=1 to let everybody in; a test asks"
    ' with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50000))'
)
_RENAMED = (
    "this server has no token, so that its own machine has to call it by a name of its own; the Host {host} is none:"
    ' use localhost or 127.0.0.1 (a TestClient: base_url="http://127.0.0.1"), or set RUNGRAPH_API_TOKEN on the server'
    " and send it"
)
_FOREIGN = (
    "the Origin {origin} is another server's than the one that is called, by the Host {host}: ask from a page of this"
    " server or without an Origin; a proxy in between has to hand on the Host that it got (no setting changes this)"
)

_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:/@\[\]]+)(?::([0-9]{1,5}))?", re.IGNORECASE)
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(.+)", re.IGNORECASE)
_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


class Access:
    def __init__(self, app: ASGIApp, settings: ApiSettings) -> None:
        self._app = app
        self._token = None if settings.api_token is None else token_bytes(settings.api_token)
        self._allow_anonymous = settings.allow_anonymous

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = None if scope["type"] == "lifespan" else self._refusal(scope, Headers(scope=scope))
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1:
            return problem(400, "a call has exactly one Host header")
        if self._token is None and (reason := self._why_not_anonymous(scope, hosts[0])):
            return problem(403, reason)
        changes = scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS
        if changes:
            for origin in headers.getlist("origin"):
                if is_foreign(origin, hosts[0]):
                    return problem(403, _FOREIGN.format(origin=repr(origin)[:200], host=repr(hosts[0])[:200]))
        if self._token is not None and path_within(scope) not in TOKEN_FREE and not self._is_bearer(headers):
            return problem(401, _UNKNOWN, headers={"WWW-Authenticate": "Bearer"})
        return None

    def _why_not_anonymous(self, scope: Scope, host: str) -> str | None:
        # Without an address the client came through a Unix socket: it is on this machine.
        local = scope.get("client") is None or _is_loopback(scope["client"][0])
        if not local:
            return None if self._allow_anonymous else _REMOTE.format(client=repr(scope["client"][0])[:200])
        # A page whose name was rebound to 127.0.0.1 is of the same origin as this server and comes from this
        # machine; only its Host gives it away. A remote client that is let in may use any name of the server's.
        authority = _AUTHORITY.fullmatch(host)
        if authority is None or not _is_loopback(authority[1].strip("[]")):
            return _RENAMED.format(host=repr(host)[:200])
        return None

    def _is_bearer(self, headers: Headers) -> bool:
        given = headers.getlist("authorization")
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        # Headers are decoded as latin-1: back to the bytes that came.
        matches = secrets.compare_digest(token.strip(" \t").encode("latin-1"), self._token or b"")
        return matches and scheme.lower() == "bearer"


def token_bytes(token: str) -> bytes:
    """A token as a header has it: in UTF-8, but for bytes of the environment that are none, which stay as they are."""
    return token.encode(errors="surrogateescape")


def is_foreign(origin: str, host: str) -> bool:
    """Whether a page of `origin` is another server's than the one called `host`; `null` is foreign."""
    parsed, mine = _ORIGIN.fullmatch(origin), _AUTHORITY.fullmatch(host)
    theirs = _AUTHORITY.fullmatch(parsed[2]) if parsed else None
    if parsed is None or theirs is None or mine is None:
        return True
    default = _DEFAULT_PORTS.get(parsed[1].lower())
    return _place(theirs, default) != _place(mine, default)


def _place(authority: re.Match[str], default_port: int | None) -> tuple[str, int | None]:
    return authority[1].lower(), int(authority[2]) if authority[2] else default_port


@lru_cache(maxsize=128)  # The same few addresses, again and again.
def _is_loopback(name: str) -> bool:
    if name.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
