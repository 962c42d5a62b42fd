"""Where this application is for its clients: at the root, mounted in another one, or behind a proxy's sub-path."""

from __future__ import annotations

from urllib.parse import quote

from starlette.types import Scope


def prefix(scope: Scope) -> str:
    """What stands before every path of this application in a URL, percent-encoded and without a slash at its end."""
    root_path: str = scope.get("root_path", "")
    return quote(root_path.rstrip("/"), safe="/:@!$&'()*+,;=~-._") if root_path else ""


def path_within(scope: Scope) -> str:
    """The path of a call as this application's routes have it."""
    path: str = scope["path"]
    root_path: str = scope.get("root_path", "").rstrip("/")
    return path[len(root_path) :] if root_path and path.startswith(f"{root_path}/") else path
