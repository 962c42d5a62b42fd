"""Send a signal: put it into the mailbox of a run. Steps consume each signal once, in the order of their commits."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import bindparam, func, select

from service.core import codec
from service.core.errors import Conflict, Invalid, NotFound, RungraphError
from service.core.transitions import Status
from service.core.validation.spelling import closest
from service.store.commands.repeatable import Executed, repeatable
from service.store.database.clock import microseconds
from service.store.database.statements import Statement
from service.store.database.transaction import Transaction
from service.store.database.writing.writer import Writer
from service.store.rows.keys import Idempotency, take_key, use_of
from service.store.rows.park_and_wake import wake_those_ready
from service.store.schema.kept import is_kept
from service.store.schema.models import graphs, idempotency_keys, runs, signals

MAILBOX_MAX = 1000
"""The most signals of a run that no step has consumed yet."""
GRAPHS_KNOWN_MAX = 256
"""The most graphs whose signal names are cached."""
NAMES_SHOWN_MAX = 10
_CLOSED = (Status.COMPLETED, Status.CANCELLED)

# Because of the lock, signals are numbered in the order of their commits, and a commit that is just parking the run is
# waited for.
_STATUS = Statement(
    select(runs.c.status, runs.c.graph_id).where(runs.c.id == bindparam("run_id"), is_kept()).with_for_update()
)
_DEFINITION = Statement(select(graphs.c.definition).where(graphs.c.id == bindparam("graph_id")))

_WAITING = Statement(
    select(func.count()).where(signals.c.run_id == bindparam("run_id"), signals.c.step.is_(None)),
)
_LAST_NUMBER = Statement(
    select(func.coalesce(func.max(signals.c.number), 0)).where(signals.c.run_id == bindparam("run_id"))
)
_GET = Statement(
    select(signals.c.name, signals.c.payload, signals.c.accepted_at).where(
        signals.c.run_id == bindparam("run_id"), signals.c.number == bindparam("number")
    )
)


class _Run(NamedTuple):
    """A row of _STATUS. The fields are in the order of its columns."""

    status: str
    graph_id: str


class SignalCommands:
    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._names: dict[str, frozenset[str]] = {}
        """The signals that a graph's nodes wait for, by the graph's id. A graph never changes."""

    async def send(
        self,
        run_id: str,
        name: str,
        payload: str,
        idempotency: Idempotency | None = None,
        *,
        expected_only: bool = False,
        within_s: float | None = None,
    ) -> bool:
        """Put a signal into the run's mailbox, and return whether it is new. `payload` is JSON text.

        When this returns, the signal is on disk. It is not new if the key was used for the same signal before. Raise
        NotFound without the run, and Conflict if the run is completed or cancelled, the mailbox is full, or the key was
        used for another signal. With `expected_only`, raise Invalid if no node of the graph waits for that name.
        """

        def send(transaction: Transaction) -> Executed[bool | RungraphError]:
            found = transaction.one(_STATUS, run_id=run_id)
            if found is None:
                return Executed(NotFound("run", run_id))
            run = _Run(*found)
            if idempotency is not None and (used := use_of(transaction, idempotency)) is not None:
                transaction.confirm()
                return Executed(used if isinstance(used, Conflict) else False)
            expected = self._names_of(transaction, run.graph_id) if expected_only else None
            if (refusal := _refusal(transaction, run_id, run.status, name, expected)) is not None:
                return Executed(refusal)
            if idempotency is not None:
                take_key(transaction, idempotency, run_id)
            sent = _put(transaction, run_id, name, payload)
            return Executed(True, sent.read_back)

        keyed = () if idempotency is None else (idempotency.name, idempotency_keys.name)
        touches = (run_id, signals.name, *keyed)
        outcome = await self._writer.write(repeatable(send), touches=touches, within_s=within_s)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _names_of(self, transaction: Transaction, graph_id: str) -> frozenset[str]:
        if graph_id not in self._names:
            nodes = codec.loads(transaction.one(_DEFINITION, graph_id=graph_id)[0])["nodes"]
            self._names[graph_id] = frozenset(node["signal"] for node in nodes.values() if "signal" in node)
            if len(self._names) > GRAPHS_KNOWN_MAX:
                del self._names[next(iter(self._names))]
        return self._names[graph_id]


class _Sent(NamedTuple):
    """A signal that was put into the mailbox."""

    run_id: str
    number: int
    name: str
    payload: str
    accepted_at: str

    def read_back(self, transaction: Transaction) -> bool | None:
        """Return True if the mailbox holds this very signal, otherwise None."""
        transaction.one(_STATUS, run_id=self.run_id)
        row = transaction.one(_GET, run_id=self.run_id, number=self.number)
        if row is None or (row[0], row[1]) != (self.name, self.payload):
            return None
        return True if microseconds(row[2]) == microseconds(self.accepted_at) else None


def _put(transaction: Transaction, run_id: str, name: str, payload: str) -> _Sent:
    """Put a signal into the mailbox, and wake the run if it waits for that signal."""
    number = transaction.one(_LAST_NUMBER, run_id=run_id)[0] + 1
    now = transaction.moment.text()
    sent = _Sent(run_id, number, name, payload, now)
    transaction.insert(signals, [{**sent._asdict(), "step": None}])
    wake_those_ready(transaction, [run_id])
    return sent


def _refusal(
    transaction: Transaction, run_id: str, status: str, name: str, expected: Collection[str] | None
) -> Conflict | Invalid | None:
    """Return why the signal is refused, or None. If `expected` is not None, it has the names that are accepted."""
    if status in _CLOSED:
        return Conflict(f"the run is {status}: it takes no more signals")
    if expected is not None and (fault := _unexpected(name, expected)) is not None:
        return Invalid.at("/name", fault)
    if transaction.one(_WAITING, run_id=run_id)[0] >= MAILBOX_MAX:
        return Conflict(f"the run's mailbox is full: {MAILBOX_MAX} signals wait")
    return None


def _unexpected(name: str, names: Collection[str]) -> str | None:
    """Return what is wrong with a signal that no node waits for, or None if a node does."""
    if name in names:
        return None
    fault = f"no node of the run's graph waits for the signal {name!r:.200}"
    if not names:
        return f"{fault}, nor for any other"
    if hint := closest(name, names):
        return fault + hint
    shown = ", ".join(f"{each!r:.100}" for each in sorted(names)[:NAMES_SHOWN_MAX])
    more = "" if len(names) <= NAMES_SHOWN_MAX else f" and {len(names) - NAMES_SHOWN_MAX} more"
    return f"{fault}; its nodes wait for {shown}{more}"
