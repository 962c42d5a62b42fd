"""Two ways to cut a server off from its PostgreSQL without a signal to either."""

from __future__ import annotations

import os
import selectors
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

import pytest


class Link(Protocol):
    """The way from a server to its database."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def within(self) -> Sequence[str]:
        """The command that executes another on this end of the link."""

    @property
    def address(self) -> str:
        """Where a server on this end is reached."""

    def cut(self) -> None: ...

    def mend(self) -> None: ...


class Proxy:
    """Forwards TCP, and when cut keeps every connection open, in silence; what was sent comes when it is mended."""

    within = ()
    host = address = "127.0.0.1"

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server((self.host, 0))
        self.port: int = self._listener.getsockname()[1]
        self._other: dict[socket.socket, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._open = threading.Event()
        self._open.set()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def cut(self) -> None:
        self._open.clear()

    def mend(self) -> None:
        self._open.set()

    def close(self) -> None:
        self._closing.set()
        self._open.set()
        self._thread.join()
        for end in (*self._other, self._listener):
            end.close()
        self._selector.close()

    def _work(self) -> None:
        while not self._closing.is_set():
            ready = self._selector.select(0.05)
            self._open.wait()
            for key, _ in ready:
                end = key.fileobj
                if end is self._listener:
                    self._connect()
                elif isinstance(end, socket.socket) and end in self._other:
                    self._forward(end)

    def _connect(self) -> None:
        client, _ = self._listener.accept()
        database = socket.create_connection((self.host, self._to))
        self._other |= {client: database, database: client}
        for end in (client, database):
            self._selector.register(end, selectors.EVENT_READ)

    def _forward(self, end: socket.socket) -> None:
        other, data = self._other[end], b""
        with suppress(OSError):
            if data := end.recv(2**16):
                other.sendall(data)
                return
        for each in (end, other):
            self._selector.unregister(each)
            del self._other[each]
            each.close()


class Namespace:
    """A network of its own, and a cable to ours that can be pulled.

    Its addresses are those of no other process: two cables with one address would both be dead, and a test that was
    killed leaves its cable behind.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        third, fourth = divmod(os.getpid() % 2**14 * 4, 256)
        self.host, self.address = (f"10.213.{third}.{fourth + end}" for end in (1, 2))
        self._name = f"rungraph{os.getpid()}"
        self._cable = f"rg{os.getpid()}"
        self.within = ("ip", "netns", "exec", self._name)

    def open(self) -> None:
        self._ip("netns", "add", self._name)
        self._ip("link", "add", self._cable, "type", "veth", "peer", "name", "eth0", "netns", self._name)
        self._ip("addr", "add", f"{self.host}/30", "dev", self._cable)
        self._ip("link", "set", self._cable, "up")
        self._ip("-n", self._name, "addr", "add", f"{self.address}/30", "dev", "eth0")
        self._ip("-n", self._name, "link", "set", "eth0", "up")
        self._ip("-n", self._name, "link", "set", "lo", "up")

    def cut(self) -> None:
        self._ip("link", "set", self._cable, "down")

    def mend(self) -> None:
        self._ip("link", "set", self._cable, "up")

    def close(self) -> None:
        subprocess.run(["ip", "link", "del", self._cable], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", self._name], check=False, capture_output=True)

    def _ip(self, *words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)


@contextmanager
def proxy(port: int) -> Iterator[Link]:
    """To the PostgreSQL at `port`, through a proxy."""
    link = Proxy(port)
    try:
        yield link
    finally:
        link.close()


@contextmanager
def namespace(port: int) -> Iterator[Link]:
    """To the PostgreSQL at `port`, from a network namespace."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("a network namespace takes root and `ip`")
    link = Namespace(port)
    try:
        try:
            link.open()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespace here: {error.stderr!r}")
        yield link
    finally:
        link.close()
