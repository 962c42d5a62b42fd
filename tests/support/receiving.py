"""Receivers of webhooks: a server whose paths answer well, badly, slowly or with a redirect."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Receiver:
    """What came to each path, in order."""

    port: int = 0
    came: list[tuple[str, dict[str, str], str]] = field(default_factory=list)
    """Path, headers with names in lower case, and body."""
    answers: dict[str, list[int]] = field(default_factory=dict)
    """By path, the statuses that are answered first; after them, 204."""
    hold: threading.Event = field(default_factory=threading.Event)
    """Set: what came to /slow is answered."""

    def url(self, path: str = "/ok", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def at(self, path: str) -> list[tuple[dict[str, str], str]]:
        return [(headers, body) for to, headers, body in self.came if to == path]


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.came.append((self.path, headers, body))
            if self.path == "/slow":
                receiver.hold.wait(60)
            statuses = receiver.answers.get(self.path, [])
            self.send_response(statuses.pop(0) if statuses else 204)
            if self.path == "/redirect":
                self.send_header("location", "/ok")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.hold.set()
        server.shutdown()
        thread.join(60)
        server.server_close()
