"""The `Idempotency-Key` header. Calls with the same key, scope and body are the same call."""

from __future__ import annotations

import hashlib
from typing import Any

from fastapi import Request

from service.core import codec
from service.core.errors import Invalid
from service.store.rows.keys import Idempotency


def key_of(request: Request) -> str | None:
    """Return the request's key, or None if it has none. Raise Invalid for a malformed key."""
    keys = request.headers.getlist("idempotency-key")
    if not keys:
        return None
    if len(keys) > 1 or not (1 <= len(keys[0]) <= 255 and keys[0].isascii() and keys[0].isprintable()):
        raise Invalid.at("/Idempotency-Key", "must be one key of 1 to 255 printable ASCII characters")
    return keys[0]


def keyed(key: str | None, scope: str, body: Any) -> Idempotency | None:
    """Return `key` with its scope and the digest of `body`, which must contain its defaults. Return None for no key."""
    if key is None:
        return None
    return Idempotency(scope, key, hashlib.sha256(codec.canonical(body).encode()).hexdigest())
