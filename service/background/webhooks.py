"""Send the webhooks that are due, in the background, on the loop of a server that has an engine.

A server sends at most SENDING_MAX deliveries at a time, and at most HOST_MAX to one host, so that a slow receiver
delays only its own deliveries. Redirects are not followed. The name of a host is looked up for each attempt. Unless the
name is `localhost`, all its addresses must be public. The connection goes to one of the addresses that were checked.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from service.core.errors import Unavailable
from service.core.operations.webhooks import AllowedHosts, Target, address_of, is_public, signed_headers
from service.store import Store
from service.store.commands.operations.deliveries import Answer, Delivery
from service.store.database.local_events import DELIVERABLE
from service.version import VERSION

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger(__name__)

SENDING_MAX = 16
"""Deliveries that a server sends at once, to all hosts together."""
HOST_MAX = 4
"""Deliveries that a server sends to one host at once."""
SEND_S = 15.0
"""How long an attempt may take, from the lookup of the host's name to the answer."""
CONNECT_S = 4.0
"""How long the connection to one address of a host may take."""
ADDRESSES_MAX = 4
"""The most addresses of a host that are tried, one after the other, until one accepts a connection."""
POLL_S = 5.0
"""The longest interval at which to look for due deliveries. Other servers may have left some."""


class Sender:
    """Signs deliveries and sends them to the allowed hosts. Call `close` when no delivery is being sent any more."""

    def __init__(self, hosts: AllowedHosts, key: bytes) -> None:
        self._hosts = hosts
        self._key = key
        self._client: httpx.AsyncClient | None = None

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def send(self, delivery: Delivery) -> Answer:
        """Make one attempt to send a delivery, and return what became of the attempt."""
        try:
            async with asyncio.timeout(SEND_S):
                return await self._post(delivery)
        except TimeoutError:
            return Answer(None, f"no answer within {SEND_S:g} s")
        except Exception as error:  # Whatever a receiver does must not end the sender.
            return Answer(None, f"{type(error).__name__}: {error}".rstrip(": "))

    async def _post(self, delivery: Delivery) -> Answer:
        target = self._hosts.target_of(delivery.url)
        if isinstance(target, str):
            return Answer(None, target)
        addresses = await _addresses(target)
        if isinstance(addresses, Answer):
            return addresses
        answer = Answer(None, "the host has no address")
        for address in addresses[:ADDRESSES_MAX]:
            answer, is_connected = await self._post_to(target, address, delivery)
            if is_connected:
                break
        return answer

    async def _post_to(self, target: Target, address: str, delivery: Delivery) -> tuple[Answer, bool]:
        """Send a delivery to one address, and return the answer and whether there was a connection."""
        headers = {
            **signed_headers(self._key, delivery.message_id, int(time.time()), delivery.payload),
            "host": target.authority,
            "content-type": "application/json",
            "user-agent": f"Rungraph/{VERSION}",
        }
        where = f"[{address}]" if ":" in address else address
        url = f"{target.scheme}://{where}:{target.port}{target.path}"
        # The URL contains the address, but the certificate must be valid for the name.
        extensions = {} if target.is_literal and target.host != "localhost" else {"sni_hostname": target.host}
        if self._client is None:
            made = await to_thread.run_sync(_new_client)
            self._client = self._client or made
            if self._client is not made:  # Another delivery has made one meanwhile.
                await made.aclose()
        import httpx  # Only the first import is slow, and _new_client has done it on a thread.

        content = delivery.payload.encode()
        try:
            # The body of the answer is not read.
            async with self._client.stream("POST", url, content=content, headers=headers, extensions=extensions) as got:
                status, is_success, is_redirect = got.status_code, got.is_success, got.is_redirect
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            return Answer(None, f"no connection to {address}: {error}"), False
        if is_success:
            return Answer(status, None), True
        hint = ", and no redirect is followed" if is_redirect else ""
        return Answer(status, f"the answer was {status}{hint}"), True


def _new_client() -> httpx.AsyncClient:
    """Return a client that reuses no connection, because another host may have the same address.

    This takes too long to be called on an event loop.
    """
    import httpx

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    # SSL_CERT_FILE is followed. Proxies of the environment are not: one could connect to an unchecked address.
    timeout = httpx.Timeout(SEND_S, connect=CONNECT_S)
    verify = httpx.create_ssl_context()
    return httpx.AsyncClient(verify=verify, trust_env=False, follow_redirects=False, timeout=timeout, limits=limits)


async def _addresses(target: Target) -> list[str] | Answer:
    """Return the addresses of the target's host, or an Answer that says why nothing may be sent there."""
    if target.is_literal and target.host != "localhost":
        return [target.host]
    try:
        # On a thread of anyio, because the loop's default executor has few threads and a lookup may hang.
        found = await to_thread.run_sync(_look_up, target, abandon_on_cancel=True)
    except OSError as error:
        return Answer(None, f"the host {target.host!r} has no address: {error.strerror or error}")
    names = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    addresses = [address_of(name) for name in names]
    # A setting that names `localhost` or an address allows addresses that are not public.
    if not target.is_literal and not all(address is not None and is_public(address) for address in addresses):
        return Answer(None, f"the host {target.host!r} has an address that is not public: {', '.join(names)}")
    return names


def _look_up(target: Target) -> list[Any]:
    return socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)


@asynccontextmanager
async def delivering(store: Store, sender: Sender | None) -> AsyncIterator[None]:
    """Within the context, send deliveries in the background. If `sender` is None, leave them to other servers."""
    if sender is None:
        yield
        return
    task = asyncio.create_task(_Deliveries(store, sender).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        await sender.close()


class _Deliveries:
    """Claims deliveries and sends them. `_sending` counts the deliveries in progress by host."""

    def __init__(self, store: Store, sender: Sender) -> None:
        self._store = store
        self._sender = sender
        self._sending: Counter[str] = Counter()
        self._called = asyncio.Event()

    async def run(self) -> None:
        """Claim deliveries and send them until cancelled. An attempt that the cancellation interrupts is made again."""
        with self._store.events.subscribe(DELIVERABLE) as self._called:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    self._called.clear()
                    wait_s = await self._start(tasks)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(wait_s):
                            await self._called.wait()

    async def _start(self, tasks: asyncio.TaskGroup) -> float:
        """Start to send the due deliveries. Return the seconds until the next look, unless an event comes before."""
        free = SENDING_MAX - self._sending.total()
        if free <= 0:
            return POLL_S
        sending = Counter(self._sending)  # A copy: the writer's thread reads it while deliveries end.
        try:
            claimed, next_s = await self._store.deliveries.claim(free, sending, HOST_MAX)
        except Unavailable as error:
            logger.debug("no webhook can be sent now: %s", error)
            return POLL_S
        except Exception:
            logger.exception("no webhook can be sent now")
            return POLL_S
        for delivery in claimed:
            self._sending[delivery.host] += 1
            tasks.create_task(self._deliver(delivery))
        # `run` must not repeat without a pause if nothing could be claimed.
        return POLL_S if next_s == 0 and not claimed else min(POLL_S, next_s)

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            answer = await self._sender.send(delivery)
            await self._store.deliveries.note(delivery, answer)
            if answer.error is not None:
                logger.info("webhook %s to %s failed: %s", delivery.message_id, delivery.host, answer.error)
        except asyncio.CancelledError:
            self._store.deliveries.release(delivery)
            raise
        except Unavailable as error:
            logger.warning("webhook %s is sent again: %s", delivery.message_id, error)
        except Exception:
            logger.exception("webhook %s is sent again", delivery.message_id)
        finally:
            self._sending[delivery.host] -= 1
            if not self._sending[delivery.host]:
                del self._sending[delivery.host]
            self._called.set()
