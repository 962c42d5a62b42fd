"""Answer calls to unknown paths with 404 and the nearest known call."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from service.api.prefix import path_within

SEGMENTS_MAX = 6
SEGMENT_CHARS_MAX = 60
"""A path with more segments, or with a longer segment, gets no suggestion: comparing it would take long."""
_NEAR_MIN = 0.6

# Paths that clients may know from other services, and the paths to suggest in their place.
_ELSEWHERE = {
    "/runs/{run_id}/status": "/runs/{run_id}",
    "/graph/{graph_id}/run": "/graph/run",
    "/graphs/{graph_id}": "/graph/{graph_id}",
    "/graphs/{graph_id}/run": "/graph/run",
    "/graph": "/graph/create",
    "/health": "/livez",
    "/healthz": "/livez",
    "/ready": "/readyz",
    "/swagger": "/docs",
    "/redoc": "/docs",
}


class _Call(NamedTuple):
    method: str
    path: str
    """The path of the route, with each parameter as `{name}`."""


async def unknown_path(scope: Scope, _receive: Receive, _send: Send) -> None:
    """Raise HTTPException (404) for a call that no route matches. Starlette would refuse a WebSocket with 403."""
    path = path_within(scope)
    meant = _meant(path, scope.get("method", "WebSocket"), scope["app"].routes)
    hint = "see /docs for the calls" if meant is None else f"did you mean {meant}?"
    raise HTTPException(404, f"there is nothing at {path!r:.300}; {hint}")


def _meant(path: str, method: str, routes: Iterable[BaseRoute]) -> str | None:
    """Return the call most similar to `path`, with parameters filled in from `path`, or None if no call is similar."""
    asked = _segments(path)
    if len(asked) > SEGMENTS_MAX or max(map(len, asked), default=0) > SEGMENT_CHARS_MAX:
        return None
    calls = list(_calls(routes))
    methods = {call.path: call.method for call in reversed(calls)}
    near = [(_nearness(asked, call.path), call.method == method, call.path, call) for call in calls]
    near += [
        (_nearness(asked, path), True, path, _Call(methods[there], there))
        for path, there in _ELSEWHERE.items()
        if there in methods
    ]
    nearness, _, known, call = max(near, key=lambda each: each[:2], default=(0.0, False, "", _Call("", "")))
    if nearness < _NEAR_MIN:
        return None
    arguments = dict(zip(_segments(known), asked, strict=False))
    return f"{call.method} /" + "/".join(
        arguments.get(segment, segment) if segment[0] == "{" else segment for segment in _segments(call.path)
    )


def _calls(routes: Iterable[BaseRoute]) -> Iterable[_Call]:
    for route in routes:
        if isinstance(route, WebSocketRoute):
            yield _Call("WebSocket", route.path_format)
        elif isinstance(route, Route) and (route.include_in_schema or route.path == "/docs"):
            yield from (_Call(method, route.path_format) for method in sorted(route.methods or ()) if method != "HEAD")


def _nearness(asked: list[str], known: str) -> float:
    """Return the similarity of two paths, from 0 to 1. A parameter matches any segment."""
    segments = _segments(known)
    alike = [_likeness(*pair) for pair in zip(asked, segments, strict=False)]
    if any(like < _NEAR_MIN for like in alike):
        return 0.0
    return sum(alike) / max(len(asked), len(segments), 1)


def _likeness(asked: str, known: str) -> float:
    if known[0] == "{":
        return 0.99 if asked else 0.0  # An equal literal segment is a better match.
    return 1.0 if asked == known else difflib.SequenceMatcher(None, asked.lower(), known).ratio()


def _segments(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment]
