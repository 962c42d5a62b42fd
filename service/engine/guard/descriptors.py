"""Find the open file descriptors of this process, and those of its listening sockets."""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

_FOLDER = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"


class _Socket(NamedTuple):
    descriptor: int
    place: object
    """The address that the socket is bound to. For TCP it is only the port, since a listener and its connections may
    have different addresses."""
    is_listening: bool


def opened() -> list[int]:
    """Return all open descriptors."""
    return [int(name) for name in os.listdir(_FOLDER)]


def of_listeners(opened: Iterable[int]) -> list[int]:
    """Return those descriptors in `opened` that are listening sockets, or connections that such a socket accepted."""
    sockets = list(_sockets(opened))
    places = {each.place for each in sockets if each.is_listening}
    return [each.descriptor for each in sockets if each.place in places]


def is_listening(port: int) -> bool:
    """Return whether this process listens on `port`, at any address."""
    return any(each.is_listening and each.place == port for each in _sockets(opened()))


def _sockets(opened: Iterable[int]) -> Iterable[_Socket]:
    for descriptor in opened:
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                yield _ask(descriptor)


def _ask(descriptor: int) -> _Socket:
    found = socket.socket(fileno=descriptor)
    try:
        name = found.getsockname()
        place = name[1] if isinstance(name, tuple) and len(name) > 1 else name
        return _Socket(descriptor, place, bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)))
    finally:
        found.detach()
