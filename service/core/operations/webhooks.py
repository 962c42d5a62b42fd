"""Webhooks: which URLs may be notified, and how a delivery is signed after Standard Webhooks.

Specification: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import urlsplit

from service.core.transitions import Status

EVENTS = (Status.COMPLETED, Status.FAILED, Status.PAUSED, Status.CANCELLED, Status.WAITING)
"""A webhook can report that a run has reached one of these statuses."""
RETRIED_S = 86_400
"""The number of seconds after its event during which a delivery is tried."""
BACKOFF_S_MIN, BACKOFF_S_MAX = 5, 3600
URL_CHARS_MAX = 2000
SECRET_PREFIX = "whsec_"
SECRET_BYTES_MIN, SECRET_BYTES_MAX = 24, 64

_PLAIN = re.compile(r"[!-\[\]-~]+")  # ASCII without spaces, control characters and the backslash.
_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class DeliveryState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    """The delivery was tried for RETRIED_S without success, or must not be sent any more."""


def backoff_s(attempts: int) -> float:
    """Return the number of seconds to wait after the failed attempt number `attempts`, which counts from 1."""
    return float(min(BACKOFF_S_MAX, BACKOFF_S_MIN * 2 ** min(attempts - 1, 20)))


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Target(NamedTuple):
    """Where a delivery goes."""

    scheme: str
    host: str
    """A name in lower case, or an IP address. An IPv6 address has no brackets."""
    port: int
    path: str
    """The path and the query."""

    @property
    def is_literal(self) -> bool:
        """Whether the host is an IP address or `localhost`, so that no name has to be looked up in DNS."""
        return self.host == "localhost" or address_of(self.host) is not None

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


_PORTS = {"http": 80, "https": 443}


class AllowedHosts:
    """The hosts that a setting allows: names and addresses, each with a port or for any port."""

    def __init__(self, entries: Iterable[str] = ()) -> None:
        """Raise ValueError if an entry is no host; the message names the entry."""
        self._entries = frozenset(map(_entry, entries))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AllowedHosts) and self._entries == other._entries

    def __hash__(self) -> int:
        return hash(self._entries)

    def target_of(self, url: str) -> Target | str:
        """Return where `url` leads, or a message that says why no delivery may be sent there."""
        target = target_of(url)
        if isinstance(target, str) or {(target.host, None), (target.host, target.port)} & self._entries:
            return target
        return f"the host {target.host!r:.200} is not in the server's RUNGRAPH_WEBHOOK_HOSTS"


def target_of(url: str) -> Target | str:
    """Return where `url` leads, or a message that says what is wrong with it."""
    if len(url) > URL_CHARS_MAX:
        return f"should have at most {URL_CHARS_MAX} characters"
    if not _PLAIN.fullmatch(url):
        return "must be a URL in ASCII, without spaces and backslashes"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"is no URL: {error}"
    if parts.scheme not in _PORTS:
        return "must begin with https:// or http://"
    if "@" in parts.netloc:
        return "must not contain a user or a password"
    if "#" in url:
        return "must not have a fragment"
    if port == 0:
        return "has no valid port"
    host = _host(parts.hostname or "")
    if host is None:
        return "has no valid host"
    query = f"?{parts.query}" if parts.query else ""
    return Target(parts.scheme, host, _PORTS[parts.scheme] if port is None else port, (parts.path or "/") + query)


def _entry(text: str) -> tuple[str, int | None]:
    if (address := address_of(text)) is not None:  # An IPv6 address needs brackets only before a port.
        return str(address), None
    try:
        host, port = urlsplit(f"//{text}").hostname, urlsplit(f"//{text}").port
    except ValueError:
        host = port = None
    known = _host(host or "")
    if known is None or not _PLAIN.fullmatch(text) or any(mark in text for mark in "/@?#"):
        raise ValueError(f"{text!r:.200} is no host, such as hooks.example.com or 10.0.0.5:8080")
    return known, port


def _host(text: str) -> str | None:
    """Return the host `text` in the form in which hosts are compared, or None if `text` is no host."""
    host = text.lower().rstrip(".")
    address = address_of(host)
    if address is not None:
        return str(address)
    # Some resolvers read a name of digits and dots, such as `127.1`, as an address.
    is_number = re.fullmatch(r"(0x[0-9a-f]*|[0-9]+)", host.rpartition(".")[2]) is not None
    return host if len(host) <= 253 and _NAME.fullmatch(host) and not is_number else None


def address_of(host: str) -> Address | None:
    """Return the IP address that `host` is, or None if it is a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return None if getattr(address, "scope_id", None) else address


def is_public(address: Address) -> bool:
    """Return whether `address` belongs to the public internet.

    An IPv6 address that embeds IPv4 addresses is public only if all of them are.
    """
    if isinstance(address, ipaddress.IPv6Address):
        within = (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()))
        if any(inner is not None and not is_public(inner) for inner in within):
            return False
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address.ipv4_mapped is not None:
            return True
    return address.is_global and not address.is_multicast and not address.is_reserved


def key_of(secret: str) -> bytes:
    """Return the key in a secret such as `whsec_MfKQ…`. Raise ValueError if `secret` does not have this form."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX:
        raise ValueError(
            f"it takes {SECRET_PREFIX} and {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes in Base64, as of"
            f" `echo {SECRET_PREFIX}$(openssl rand -base64 32)`"
        )
    return key


def message_id(run_id: str, number: int) -> str:
    """Return the id by which receivers recognize a delivery. All attempts of the delivery have the same id."""
    return f"msg_{run_id}_{number}"


def signed_headers(key: bytes, message: str, timestamp: int, body: str) -> dict[str, str]:
    """Return the headers that sign `body`. `timestamp` is the time of sending, in seconds since 1970."""
    content = f"{message}.{timestamp}.{body}".encode()
    digest = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return {"webhook-id": message, "webhook-timestamp": str(timestamp), "webhook-signature": f"v1,{digest}"}
