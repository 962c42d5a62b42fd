"""Hints between servers: what one has committed, another that waits for it should look at.

Only hints, as in `wake`: losing all of them costs time and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

Ring = Callable[[Iterable[str]], None]
"""Told the topics that another server has changed."""


class Hints(Protocol):
    def start(self) -> None: ...

    def send(self, topics: Iterable[str]) -> None:
        """Tell the other servers. Returns at once; from any thread."""

    def close(self) -> None:
        """Send what is left, and stop."""


class NoHints:
    """There is no other server."""

    def start(self) -> None:
        return

    def send(self, topics: Iterable[str]) -> None:  # noqa: ARG002  # nobody listens
        return

    def close(self) -> None:
        return
