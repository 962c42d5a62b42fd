"""The URL prefix of this application, which may be mounted in another one or served below a proxy's sub-path."""

from __future__ import annotations

from urllib.parse import quote

from starlette.types import Scope


def prefix(scope: Scope) -> str:
    """Return the prefix of all paths of this application, percent-encoded, without a trailing slash. May be empty."""
    root_path: str = scope.get("root_path", "")
    return quote(root_path.rstrip("/"), safe="/:@!$&'()*+,;=~-._") if root_path else ""


def path_within(scope: Scope) -> str:
    """Return the path of a call without the application's prefix."""
    path: str = scope["path"]
    root_path: str = scope.get("root_path", "").rstrip("/")
    return path[len(root_path) :] if root_path and path.startswith(f"{root_path}/") else path
