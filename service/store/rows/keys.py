"""Idempotency keys: calls with the same key and the same body are one call."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import bindparam, select

from service.core.errors import Conflict
from service.store.database.statements import Statement, every_column
from service.store.database.transaction import Transaction
from service.store.schema.models import idempotency_keys


class Scope(StrEnum):
    """What a key is used for. The keys of signals have a scope for each run."""

    START = "run"


_KEY = Statement(
    select(idempotency_keys.c.body_digest, idempotency_keys.c.run_id).where(
        idempotency_keys.c.scope == bindparam("scope"), idempotency_keys.c.key == bindparam("key")
    )
)
_ADD_KEY = Statement(
    lambda insert: (
        insert(idempotency_keys)
        .values(every_column(idempotency_keys))
        .on_conflict_do_nothing()
        .returning(idempotency_keys.c.run_id)
    )
)


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A client's key for a call. The same key with another digest of the body is a conflict."""

    scope: str
    key: str
    body_digest: str

    @property
    def name(self) -> str:
        """The scope and the key in one text, by which a command names the key that it touches."""
        return f"{self.scope} {self.key}"


def use_of(transaction: Transaction, idempotency: Idempotency) -> str | Conflict | None:
    """Return the run for which the key was used, or Conflict if the body was another one. None: it was not used."""
    used = transaction.one(_KEY, scope=idempotency.scope, key=idempotency.key)
    if used is None:
        return None
    digest, run_id = used
    if digest != idempotency.body_digest:
        return Conflict("this Idempotency-Key was used for another body")
    return str(run_id)


def take_key(transaction: Transaction, idempotency: Idempotency, run_id: str) -> bool:
    """Use the key for `run_id`. Return False if it was used before. Wait for a server that is just using it."""
    taken = transaction.one(
        _ADD_KEY,
        scope=idempotency.scope,
        key=idempotency.key,
        body_digest=idempotency.body_digest,
        run_id=run_id,
    )
    return taken is not None
