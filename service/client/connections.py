"""Send calls with httpx, and return answers and streams of events.

httpx is imported when the first connection is made.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from service.client.errors import ServerUnreachable
from service.client.events import EventReader
from service.client.messages import Answer, Request, read_object
from service.client.retrying import Retrying

if TYPE_CHECKING:
    import httpx

KEEPALIVE_S = 15.0
"""The server sends something on a stream of events at least this often."""


class BlockingHttp(Protocol):
    """The methods used of an `httpx.Client`. A TestClient has them too, even if its base class is httpx2's Client."""

    def request(self, *arguments: Any, **options: Any) -> Any: ...

    def stream(self, *arguments: Any, **options: Any) -> Any: ...

    def close(self) -> None: ...


class Connection:
    """Makes calls to a server. Its methods block."""

    def __init__(self, url: str, token: str | None, timeout_s: float, http: BlockingHttp | None) -> None:
        import httpx  # slow to import

        self._url = url
        self._is_own = http is None
        self._timeout_s = timeout_s
        self._http: BlockingHttp = http or httpx.Client(**_options(url, token, timeout_s))
        self._prefix = "" if self._is_own else urlsplit(url).path.rstrip("/")
        self._library = library_of(self._http)

    def close(self) -> None:
        if self._is_own:
            self._http.close()

    def send(self, request: Request) -> Answer:
        """Make a call once. Raise ServerUnreachable if no answer comes."""
        with _told(self._url, self._library):
            answer = self._http.request(**arguments_of(request, self._prefix))
        return Answer(answer.status_code, answer.content)

    def ask(self, request: Request, patience_s: float) -> Answer:
        """Make a call, and repeat it after a failure as `Retrying` decides. Return the last answer, even a refusal.

        Raise ServerUnreachable if the last attempt brought no answer.
        """
        retrying = Retrying(request, patience_s)
        while True:
            try:
                failure: ServerUnreachable | Answer = self.send(request)
            except ServerUnreachable as error:
                failure = error
            if (pause_s := retrying.pause_after(failure)) is None:
                return _answered(failure)
            time.sleep(pause_s)

    def events(self, request: Request) -> Generator[dict[str, Any] | None, None, bool]:
        """Yield None when the stream has begun, and then each event until the stream ends.

        Return True if the server sent no stream because the run is over and fully read, otherwise False.
        """
        reader = EventReader()
        with (
            _told(self._url, self._library),
            self._http.stream(
                **arguments_of(request, self._prefix), timeout=max(self._timeout_s, 2 * KEEPALIVE_S)
            ) as stream,
        ):
            if stream.status_code != 200:
                body = stream.read()
                if stream.status_code == 204:
                    return True
                read_object(Answer(stream.status_code, body))
            yield None
            for text in stream.iter_text():
                yield from reader.feed(text)
        return False


class AsyncConnection:
    """Makes calls to a server. Its methods are awaited."""

    def __init__(self, url: str, token: str | bytes | None, timeout_s: float, http: httpx.AsyncClient | None) -> None:
        import httpx  # slow to import

        self._url = url
        self._is_own = http is None
        self._timeout_s = timeout_s
        self._http = http or httpx.AsyncClient(**_options(url, token, timeout_s))
        self._prefix = "" if self._is_own else urlsplit(url).path.rstrip("/")
        self._library = library_of(self._http)

    async def close(self) -> None:
        if self._is_own:
            await self._http.aclose()

    async def send(self, request: Request) -> Answer:
        """Make a call once. Raise ServerUnreachable if no answer comes."""
        with _told(self._url, self._library):
            answer = await self._http.request(**arguments_of(request, self._prefix))
        return Answer(answer.status_code, answer.content)

    async def ask(self, request: Request, patience_s: float) -> Answer:
        """Make a call, and repeat it after a failure as `Retrying` decides. Return the last answer, even a refusal.

        Raise ServerUnreachable if the last attempt brought no answer.
        """
        retrying = Retrying(request, patience_s)
        while True:
            try:
                failure: ServerUnreachable | Answer = await self.send(request)
            except ServerUnreachable as error:
                failure = error
            if (pause_s := retrying.pause_after(failure)) is None:
                return _answered(failure)
            await asyncio.sleep(pause_s)

    @asynccontextmanager
    async def events(self, request: Request) -> AsyncIterator[AsyncIterator[dict[str, Any]] | None]:
        """Yield an iterator of events, or None if the run is over and fully read."""
        options = arguments_of(request, self._prefix)
        with _told(self._url, self._library):
            async with self._http.stream(**options, timeout=max(self._timeout_s, 2 * KEEPALIVE_S)) as stream:
                if stream.status_code == 200:
                    yield _events_in(stream)
                    return
                body = await stream.aread()
                if stream.status_code != 204:
                    read_object(Answer(stream.status_code, body))
                yield None


def bearer(token: str | bytes | None) -> dict[bytes, bytes]:
    """Return the header that carries a token, or no header if there is no token.

    The header is in bytes because httpx accepts only ASCII as text.
    """
    if not token:
        return {}
    encoded = token if isinstance(token, bytes) else token.encode(errors="surrogateescape")
    return {b"authorization": b"Bearer " + encoded}


def _options(url: str, token: str | bytes | None, timeout_s: float) -> dict[str, Any]:
    """Return the keyword arguments with which an httpx client is made."""
    return {
        "base_url": url,
        "headers": bearer(token),
        "timeout": timeout_s,
        "trust_env": False,
        # Loading certificates takes longer than a call, and a connection without TLS needs none.
        "verify": not url.startswith("http://"),
    }


def arguments_of(request: Request, prefix: str = "") -> dict[str, Any]:
    """Return the keyword arguments with which an httpx client makes the call. `prefix` precedes the path."""
    content = {"content": request.content} if request.content else {}
    return {
        "method": request.method,
        "url": prefix + request.path,
        "params": dict(request.params),
        "headers": dict(request.headers),
        **content,
    }


async def _events_in(stream: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    reader = EventReader()
    async for text in stream.aiter_text():
        for event in reader.feed(text):
            yield event


def _answered(failure: ServerUnreachable | Answer) -> Answer:
    if isinstance(failure, ServerUnreachable):
        raise failure
    return failure


def library_of(http: Any) -> Any:
    """Return the module that defines the client's errors: httpx, or httpx2 for a TestClient that is built on httpx2."""
    roots = (each.__module__.partition(".")[0] for each in type(http).__mro__)
    return sys.modules[next((root for root in roots if root in ("httpx", "httpx2")), "httpx")]


@contextmanager
def _told(url: str, httpx: Any) -> Iterator[None]:
    """Turn connection errors into ServerUnreachable. `httpx` is the module that defines these errors."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol) as error:
        raise ServerUnreachable(_reason(url, error), may_have_arrived=False) from error
    except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
        raise ServerUnreachable(_reason(url, error)) from error


def _reason(url: str, error: Exception) -> str:
    return f"the server at {url} does not answer: {error or type(error).__name__}"
