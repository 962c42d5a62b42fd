"""A proxy that serves a server below a path, as a reverse proxy does. It passes on HTTP and no WebSockets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

DEADLINE_S = 60.0
DROPPED = {"content-length", "transfer-encoding", "connection", "content-encoding", "date", "server"}


@contextmanager
def proxied(url: str, prefix: str) -> Iterator[str]:
    """The URL below which the server at `url` can be asked, all its paths after `prefix`."""

    # Without certificates, which take longer to load than the answers take.
    client = httpx.Client(timeout=DEADLINE_S, trust_env=False, verify=False)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.startswith(f"{prefix}/"):
                self.send_error(404)
                return
            answer = client.get(url + self.path.removeprefix(prefix))
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name.lower() not in DROPPED:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            with suppress(ConnectionError):  # The browser has gone on to another page.
                self.wfile.write(answer.content)

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{prefix}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        client.close()
