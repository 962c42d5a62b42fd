"""A TCP proxy that breaks connections: after some bytes of an answer, or all of them when it is told to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PIECE_BYTES = 2**16


class BreakingProxy:
    """Forwards to a port. `cuts` has, for each of the next connections, after how many bytes of answers it breaks."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.cuts: list[int] = []
        self.connections = 0
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(60)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.connections += 1
                far = socket.create_connection(("127.0.0.1", self._to))
                cut = self.cuts.pop(0) if self.cuts else None
                for ends in ((near, far, None), (far, near, cut)):
                    thread = threading.Thread(target=_forward, args=ends, daemon=True)
                    thread.start()
                    self._threads.append(thread)


def _forward(source: socket.socket, target: socket.socket, cut: int | None) -> None:
    left = cut
    with suppress(OSError):
        while piece := source.recv(PIECE_BYTES if left is None else min(PIECE_BYTES, left + 1)):
            if left is not None and len(piece) > left:
                target.sendall(piece[:left])
                break
            left = None if left is None else left - len(piece)
            target.sendall(piece)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


@contextmanager
def breaking(port: int) -> Iterator[BreakingProxy]:
    proxy = BreakingProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
