"""Notifier by LISTEN and NOTIFY: a thread with a connection of its own tells and hears.

Off the path of every commit, in transactions that write nothing: a NOTIFY within the commit of a step would make
all commits of all servers wait for one another.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import psycopg

from service.store.database.notifier import OnNotified

logger = logging.getLogger(__name__)

CHANNEL = "rungraph"
TOPICS_MAX = 150
"""Topics in one notification, which PostgreSQL limits to 8,000 bytes."""
SEND_EVERY_S = 0.01
CLOSE_S = 2.0
PAUSE_S_MIN, PAUSE_S_MAX = 0.2, 5.0
"""Between two tries to connect."""


class ListenNotify:
    def __init__(self, connect: Callable[[], psycopg.Connection[Any]], ring: OnNotified, *, listens: bool) -> None:
        """`connect` makes a connection in autocommit mode.

        Without `listens`, it only tells: a LISTEN would be another client's, behind a pooler.
        """
        self._connect = connect
        self._listens = listens
        self._ring = ring
        self._lock = threading.Lock()
        self._waiting: set[str] = set()
        self._bell, self._alarm = socket.socketpair()
        self._alarm.setblocking(False)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="rungraph-notify", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def send(self, topics: Iterable[str]) -> None:
        with self._lock:
            was_empty = not self._waiting
            self._waiting.update(topics)
        if was_empty and self._waiting:
            self._wake()

    def close(self) -> None:
        self._closing.set()
        self._wake()
        if self._thread.ident is not None:
            self._thread.join(CLOSE_S)
        if not self._thread.is_alive():
            self._bell.close()
            self._alarm.close()

    def _wake(self) -> None:
        with suppress(OSError):  # Full of bells that were not heard yet, or closed.
            self._alarm.send(b"!")

    def _work(self) -> None:
        pause_s = PAUSE_S_MIN
        while not self._closing.is_set():
            try:
                with self._connect() as connection:
                    if self._listens:
                        connection.execute(f"LISTEN {CHANNEL}")
                    pause_s = PAUSE_S_MIN
                    self._serve(connection)
            except (psycopg.Error, OSError) as error:
                logger.warning("no hints from other servers now, only polling: %s", str(error).partition("\n")[0])
                with self._lock:
                    self._waiting.clear()
                self._closing.wait(pause_s)
                pause_s = min(pause_s * 2, PAUSE_S_MAX)

    def _serve(self, connection: psycopg.Connection[Any]) -> None:
        """Until closing, or until the connection breaks."""
        with selectors.DefaultSelector() as selector:
            selector.register(connection.fileno(), selectors.EVENT_READ)
            selector.register(self._bell, selectors.EVENT_READ)
            while not self._closing.is_set():
                for key, _ in selector.select():
                    if key.fileobj is self._bell:
                        self._bell.recv(4096)
                self._tell(connection)
                self._hear(connection)
                self._closing.wait(SEND_EVERY_S)
            self._tell(connection)

    def _tell(self, connection: psycopg.Connection[Any]) -> None:
        with self._lock:
            topics, self._waiting = sorted(self._waiting), set()
        for first in range(0, len(topics), TOPICS_MAX):
            payload = "\n".join(topics[first : first + TOPICS_MAX])
            # Not prepared: a pooler may not keep that, and it would save nothing.
            connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload), prepare=False)

    def _hear(self, connection: psycopg.Connection[Any]) -> None:
        # What arrived while we told is kept by the driver, and comes out here as well.
        for heard in connection.notifies(timeout=0):
            if heard.pid != connection.info.backend_pid:
                self._ring(heard.payload.split("\n"))
