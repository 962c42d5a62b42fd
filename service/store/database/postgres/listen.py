"""Notifications by LISTEN and NOTIFY, on a thread with a connection of its own.

A NOTIFY in the transaction of a step would make all commits of all servers wait for one another. This thread therefore
sends it later, in transactions that write nothing.
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
"""The most topics in one notification. PostgreSQL limits a notification to 8,000 bytes."""
SEND_EVERY_S = 0.01
CLOSE_S = 2.0
PAUSE_S_MIN, PAUSE_S_MAX = 0.2, 5.0
"""Bounds of the pause between two tries to connect."""


class ListenNotify:
    def __init__(
        self, connect: Callable[[], psycopg.Connection[Any]], on_notified: OnNotified, *, listens: bool
    ) -> None:
        """`connect` returns a connection in autocommit mode.

        Without `listens` it only sends: behind a pooler the session that listens may serve another client.
        """
        self._connect = connect
        self._listens = listens
        self._on_notified = on_notified
        self._lock = threading.Lock()
        self._waiting: set[str] = set()
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_sender.setblocking(False)
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
            self._wake_receiver.close()
            self._wake_sender.close()

    def _wake(self) -> None:
        with suppress(OSError):  # The socket is closed, or full of bytes that the thread will receive.
            self._wake_sender.send(b"!")

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
                logger.warning(
                    "no notifications from other servers now, only polling: %s", str(error).partition("\n")[0]
                )
                with self._lock:
                    self._waiting.clear()
                self._closing.wait(pause_s)
                pause_s = min(pause_s * 2, PAUSE_S_MAX)

    def _serve(self, connection: psycopg.Connection[Any]) -> None:
        """Send and receive until closing. Raise if the connection breaks."""
        with selectors.DefaultSelector() as selector:
            selector.register(connection.fileno(), selectors.EVENT_READ)
            selector.register(self._wake_receiver, selectors.EVENT_READ)
            while not self._closing.is_set():
                for key, _ in selector.select():
                    if key.fileobj is self._wake_receiver:
                        self._wake_receiver.recv(4096)
                self._send(connection)
                self._receive(connection)
                self._closing.wait(SEND_EVERY_S)
            self._send(connection)

    def _send(self, connection: psycopg.Connection[Any]) -> None:
        with self._lock:
            topics, self._waiting = sorted(self._waiting), set()
        for first in range(0, len(topics), TOPICS_MAX):
            payload = "\n".join(topics[first : first + TOPICS_MAX])
            # A pooler may not keep a prepared statement, and preparing would save nothing.
            connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload), prepare=False)

    def _receive(self, connection: psycopg.Connection[Any]) -> None:
        # The driver has kept what arrived during `_send`, and returns it here as well.
        for notification in connection.notifies(timeout=0):
            if notification.pid != connection.info.backend_pid:
                self._on_notified(notification.payload.split("\n"))
