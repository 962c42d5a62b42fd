"""Decide who may call, over HTTP and WebSockets.

If the server has a token, a client needs the token. Otherwise only clients on this machine may call, unless the
setting `allow_anonymous` lets remote clients in. A browser on this machine also runs pages of other sites; the rules on
`Host` and `Origin` keep those out. A refused WebSocket handshake gets the same HTTP answer as any other refused call.
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
from service.api.session import Sessions

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
TOKEN_FREE = frozenset({("GET", "/livez"), ("HEAD", "/livez"), ("POST", "/session")})
"""Method and path of the calls that need no token. The page needs none either."""
HAS_TOKEN = "rungraph.has_token"
"""Key of a call's scope. True if the call has the token or a valid session cookie, or if the server has no token."""
SESSIONS = "rungraph.sessions"
"""Key of a call's scope: the Sessions of the server's token, or None if the server has no token."""

_UNKNOWN = "this server needs its token: send `Authorization: Bearer TOKEN` with the server's RUNGRAPH_API_TOKEN"
_REMOTE = (
    "this server has no token and therefore answers only clients on its own machine, and {client} is not one of them:"
    " set RUNGRAPH_API_TOKEN on the server and send it, or set RUNGRAPH_ALLOW_ANONYMOUS=1 to let everybody in. A test"
    ' uses TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50000))'
)
_RENAMED = (
    "this server has no token and therefore must be called by a loopback name, and the Host {host} is not one:"
    ' use localhost or 127.0.0.1 (a TestClient: base_url="http://127.0.0.1"), or set RUNGRAPH_API_TOKEN on the server'
    " and send it"
)
_FOREIGN = (
    "the Origin {origin} does not match the Host {host}: call from a page of this server or without an Origin. A"
    " proxy in between must pass on the Host that it received (no setting changes this)"
)

_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:/@\[\]]+)(?::([0-9]{1,5}))?", re.IGNORECASE)
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(.+)", re.IGNORECASE)
_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


class AccessMiddleware:
    """The middleware that refuses calls that the access rules do not allow."""

    def __init__(self, app: ASGIApp, settings: ApiSettings) -> None:
        self._app = app
        self._token = None if settings.api_token is None else token_bytes(settings.api_token)
        self._sessions = None if self._token is None else Sessions(self._token)
        self._allow_anonymous = settings.allow_anonymous
        self._accepts_test_client = settings.accepts_test_client

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
        scope[SESSIONS] = self._sessions
        scope[HAS_TOKEN] = self._sessions is None or self._is_bearer(headers) or self._sessions.has_session(scope)
        if not scope[HAS_TOKEN] and not _is_free(scope):
            return problem(401, _UNKNOWN, headers={"WWW-Authenticate": "Bearer"})
        return None

    def _why_not_anonymous(self, scope: Scope, host: str) -> str | None:
        if self._accepts_test_client and _is_test_client(scope):
            return None
        # A client without an address came through a Unix socket, so it is on this machine.
        local = scope.get("client") is None or _is_loopback(scope["client"][0])
        if not local:
            return None if self._allow_anonymous else _REMOTE.format(client=repr(scope["client"][0])[:200])
        # If a site rebinds its name to 127.0.0.1, its page has the same origin as this server, and its calls come from
        # this machine. Only their Host reveals them. A remote client that is let in may use any name of the server.
        authority = _AUTHORITY.fullmatch(host)
        if authority is None or not _is_loopback(authority[1].strip("[]")):
            return _RENAMED.format(host=repr(host)[:200])
        return None

    def _is_bearer(self, headers: Headers) -> bool:
        values = headers.getlist("authorization")
        scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
        # Starlette decodes headers as latin-1. Encoding restores the bytes that were sent.
        matches = secrets.compare_digest(token.strip(" \t").encode("latin-1"), self._token or b"")
        return matches and scheme.lower() == "bearer"


def _is_test_client(scope: Scope) -> bool:
    """Return whether Starlette's TestClient makes the call, with its default address.

    The server name in the scope proves it: a server on a socket puts its own address there, whatever a client sends.
    """
    return (scope.get("client") or ("",))[0] == "testclient" and (scope.get("server") or ("",))[0] == "testserver"


def _is_free(scope: Scope) -> bool:
    """Return whether a call needs no token."""
    if scope["type"] != "http":
        return False
    path = path_within(scope)
    is_page = scope["method"] in ("GET", "HEAD") and (path in ("/", "/ui") or path.startswith("/ui/"))
    return is_page or (scope["method"], path) in TOKEN_FREE


def token_bytes(token: str) -> bytes:
    """Return the bytes of `token` in a header: UTF-8, with undecodable bytes of the environment unchanged."""
    return token.encode(errors="surrogateescape")


def is_foreign(origin: str, host: str) -> bool:
    """Return whether the host or port of `origin` differs from that of `host`. The origin `null` is foreign."""
    parsed, mine = _ORIGIN.fullmatch(origin), _AUTHORITY.fullmatch(host)
    theirs = _AUTHORITY.fullmatch(parsed[2]) if parsed else None
    if parsed is None or theirs is None or mine is None:
        return True
    default = _DEFAULT_PORTS.get(parsed[1].lower())
    return _place(theirs, default) != _place(mine, default)


def _place(authority: re.Match[str], default_port: int | None) -> tuple[str, int | None]:
    return authority[1].lower(), int(authority[2]) if authority[2] else default_port


@lru_cache(maxsize=128)  # Most calls come from a few addresses.
def _is_loopback(name: str) -> bool:
    if name.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
