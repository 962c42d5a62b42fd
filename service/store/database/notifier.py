"""Notifications between servers: a commit of one server has changed something that another may wait for.

As with `local_events`, a lost notification costs time and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

OnNotified = Callable[[Iterable[str]], None]
"""Called with the topics that another server has changed."""


class Notifier(Protocol):
    def start(self) -> None: ...

    def send(self, topics: Iterable[str]) -> None:
        """Tell the other servers that `topics` have changed. Do not wait for that. Any thread may call this."""

    def close(self) -> None:
        """Send what is left, and stop."""


class NoNotifier:
    """The Notifier of a database that only one server uses."""

    def start(self) -> None:
        return

    def send(self, topics: Iterable[str]) -> None:  # noqa: ARG002  # there is nobody to tell
        return

    def close(self) -> None:
        return
