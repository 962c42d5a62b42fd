"""The lane beside the writer: where commands wait that have met a lock of somebody else's.

On PostgreSQL anybody may lock a row or a table, and for any time: another server, a person in psql, a migration. The
writer waits for a lock only briefly (`database.LOCK_MS`), because all commands of this server pass through it. When a
batch has met a lock, the writer hands it over to this lane and goes on with what comes next. The lane has a connection
and a thread of its own, for as long as commands wait in it.

- Commands that come in are tried together. Each try that meets a lock halves how many are tried together, and each
  that succeeds doubles it. The commands that no lock concerns are soon committed that way, and the others are known.
- The others are tried again, one by one, in rounds, until the lock has gone or their deadline has passed.
- A command names what it touches when it is submitted, and first of all what it is about, which is a run in most cases.
  Commands about one run are done in the order in which they came. A command about a run that already has one here
  therefore waits here too.
- Whatever a command touches that has met a lock is suspected of being locked. Commands that touch it come here at once,
  so that no batch of the writer's meets the same lock again. The suspicion ends when one of them gets through.

The lane judges nothing else. A command that fails for another reason, and any whose connection broke so that nobody
knows whether it was done, go back to the writer, which reads them back by key.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence, Set
from typing import Any

from service.core.errors import Unavailable
from service.store.database.protocol import Database
from service.store.database.queued_write import QueuedWrite, answer
from service.store.database.transaction import Transaction
from service.store.database.write_connection import Transactions

logger = logging.getLogger(__name__)

TRY_MS_MIN, TRY_MS_MAX = 2, 50
"""How long one try waits for a lock."""
TRIES_MS = 200
"""How long those that wait are waited for in one round, about: the more there are, the shorter each."""
PAUSE_S_MIN, PAUSE_S_MAX = 0.05, 0.5
"""Between two rounds: as long as the last one took, so that many who wait cost PostgreSQL half a core at most."""
SUSPECTED_S = 5.0
"""For how long something is suspected of being locked, since a command that touches it last met a lock."""
FORGET_S = 1.0
"""Between two looks for what is suspected no longer."""
LINGER_S = 10.0
"""For how long the lane keeps its connection while nothing waits."""
SAY_S = 10.0
"""Between two lines of the log that say what waits."""
WAITING_MAX = 10_000
SAME_MAX = 100
"""Commands that may wait here, and those about the same; beyond that a caller is told to come back."""

LOCKED = "somebody else has locked in the database what this changes: try again when the lock has gone"
STOPPING = "the server is stopping, and somebody else has locked in the database what this changes"
DROPPED = "the database takes no writes just now"


class BlockedWrites:
    def __init__(
        self,
        database: Database,
        transactions: Transactions,
        give_back: Callable[[Sequence[QueuedWrite[Any]]], None],
        tell: Callable[[set[str]], None],
    ) -> None:
        """`tell` gives hints of a commit.

        `give_back` takes commands that the lane cannot judge.
        """
        self._database = database
        self._transactions = transactions
        self._give_back = give_back
        self._tell = tell
        self._connection: Any = None
        self._obstacles: tuple[type[Exception], ...] = (OSError, *database.errors)
        self._changed = threading.Condition()
        """Held to change what follows, up to `_thread`. Only the writer adds, and only the lane's thread removes."""
        self._here: dict[QueuedWrite[Any], None] = {}
        """All that wait here, wherever they stand."""
        self._about: Counter[str] = Counter()
        """How many of them there are, by what they are about."""
        self._fresh: list[QueuedWrite[Any]] = []
        """Those that nobody has tried here."""
        self._suspected: dict[str, float] = {}
        """What may be locked, and until when that is assumed."""
        self._passed: dict[str, float] = {}
        """What has been suspected wrongly, and until when it is not suspected again."""
        self._forget_at = 0.0
        self._closing = False
        self._thread: threading.Thread | None = None
        self._blocked: list[QueuedWrite[Any]] = []
        """Those that have met a lock, and those behind them, in the order in which they came."""
        self._again_at = 0.0
        """When they are tried again."""
        self._said_at = -SAY_S

    def sift(self, batch: list[QueuedWrite[Any]]) -> list[QueuedWrite[Any]]:
        """Those of `batch` that touch nothing that is known to be locked; the others wait here from now on."""
        if not self._here and not self._suspected:
            return batch
        free: list[QueuedWrite[Any]] = []
        refused: list[QueuedWrite[Any]] = []
        with self._changed:
            self._forget_old()
            for pending in batch:
                suspected = () if pending.is_returned else self._suspected
                if any(name in self._about or name in suspected for name in pending.touches):
                    if not self._admit(pending):
                        refused.append(pending)
                else:
                    free.append(pending)
        for pending in refused:
            pending.refuse(Unavailable(LOCKED))
        return free

    def takes(self, batch: Sequence[QueuedWrite[Any]], error: BaseException) -> bool:
        """Whether `batch`, which was rolled back for `error`, has met a lock; it waits here from now on then."""
        # On SQLite nobody locks a row, and the writer itself waits for the file.
        if not (self._database.is_shared and isinstance(error, Exception) and self._database.is_locked(error)):
            return False
        with self._changed:
            refused = [pending for pending in batch if not self._admit(pending)]
        for pending in refused:
            pending.refuse(Unavailable(LOCKED))
        return True

    def close(self) -> None:
        """Try once more what waits, and refuse what still meets a lock. For when the writer hands over nothing more."""
        with self._changed:
            self._closing = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _admit(self, pending: QueuedWrite[Any]) -> bool:
        is_full = len(self._here) >= WAITING_MAX or self._about[pending.subject] >= SAME_MAX
        if is_full and not pending.losses:  # One that may have been done already must be read back.
            return False
        self._here[pending] = None
        pending.is_returned = False
        if pending.subject:
            self._about[pending.subject] += 1
        self._fresh.append(pending)
        if self._thread is None:
            thread = threading.Thread(target=self._work, name="rungraph-lane", daemon=True)
            thread.start()
            self._thread = thread
        self._changed.notify()
        return True

    def _forget_old(self) -> None:
        now = time.monotonic()
        if now < self._forget_at:
            return
        self._forget_at = now + FORGET_S
        self._suspected = {name: until for name, until in self._suspected.items() if until > now}
        self._passed = {name: until for name, until in self._passed.items() if until > now}

    # From here on, on the lane's own thread.

    def _work(self) -> None:
        while self._has_work():
            try:
                self._try_fresh()
                if self._closing or time.monotonic() >= self._again_at:
                    self._try_blocked()
                if self._closing:
                    self._refuse_all(STOPPING)
            except Exception:
                # A fault of ours costs these commands their answer, and must not cost all later ones theirs.
                logger.exception("writes that had met a lock were dropped")
                self._disconnect()
                self._refuse_all(DROPPED)

    def _has_work(self) -> bool:
        """Wait until there is something to do. False where the thread is to end, whose place is empty then."""
        with self._changed:
            if not self._fresh and not self._closing:
                self._changed.wait(max(0.0, self._again_at - time.monotonic()) if self._blocked else LINGER_S)
            if self._here:
                return True
            self._thread = None
            connection, self._connection = self._connection, None
        self._close(connection)
        return False

    def _try_fresh(self, in_the_way: Set[str] = frozenset()) -> None:
        """Do those that have come in; `in_the_way` is what others that came before them are about."""
        with self._changed:
            fresh, self._fresh = self._fresh, []
        if fresh:
            before = {pending.subject for pending in self._blocked}
            self._blocked += self._try(fresh, len(fresh), before | in_the_way)

    def _try_blocked(self) -> None:
        """One round: all that have met a lock once more, and between any two tries whatever comes in meanwhile."""
        begun = time.monotonic()
        blocked, self._blocked = self._blocked, []
        in_the_way = {pending.subject for pending in blocked}
        left = self._try(blocked, 1, between=lambda: self._try_fresh(in_the_way))
        self._blocked = left + self._blocked
        ended = time.monotonic()
        if self._blocked and ended - self._said_at >= SAY_S:
            self._said_at = ended
            about = self._blocked[0].subject
            logger.warning("%d writes wait for locks of others, the first of them about %s", len(self._blocked), about)
        self._again_at = ended + min(max(ended - begun, PAUSE_S_MIN), PAUSE_S_MAX)

    def _try(
        self,
        commands: Sequence[QueuedWrite[Any]],
        size: int,
        in_the_way: Set[str] = frozenset(),
        between: Callable[[], None] = lambda: None,
    ) -> list[QueuedWrite[Any]]:
        """Do what can be done, `size` at first together; those that cannot be done now, in their order."""
        left: list[QueuedWrite[Any]] = []
        ahead = deque(pending for pending in commands if self._still_waits(pending))
        tries = max(1, len({pending.subject for pending in ahead}))
        lock_ms = max(TRY_MS_MIN, min(TRY_MS_MAX, TRIES_MS // tries))
        in_the_way = set(in_the_way)  # And what those are about that are left.
        while ahead:
            between()
            group = self._next(ahead, size, in_the_way, left)
            if not group:
                continue
            if (transaction := self._open(lock_ms)) is None:
                return [*left, *group, *ahead]
            error = self._commit(group, transaction)
            if error is None:
                size *= 2
            elif self._connection is None:
                self._give_up(group, ahead, losses=1)
            elif len(group) > 1:
                ahead.extendleft(reversed(group))
                size = len(group) // 2
            elif self._transactions.is_lock(error):
                left += group
                in_the_way.add(group[0].subject)
                self._suspect(group)
            else:
                self._give_up(group, ahead)
        return left

    def _next(
        self, ahead: deque[QueuedWrite[Any]], size: int, in_the_way: Set[str], left: list[QueuedWrite[Any]]
    ) -> list[QueuedWrite[Any]]:
        """The next to be tried together. Those behind one that waits are `left`; those that nobody wants are gone."""
        group: list[QueuedWrite[Any]] = []
        while ahead and len(group) < size:
            pending = ahead.popleft()
            if not self._still_waits(pending):
                continue
            if pending.subject and pending.subject in in_the_way:
                left.append(pending)
            elif pending.is_wanted():
                group.append(pending)
            else:
                self._leave([pending])
        return group

    def _still_waits(self, pending: QueuedWrite[Any]) -> bool:
        """Whether somebody still waits for it, and its deadline has not passed; it is gone otherwise."""
        if pending.is_overdue():
            pending.refuse(Unavailable(LOCKED))
        elif not pending.future.cancelled():
            return True
        self._leave([pending])
        return False

    def _open(self, lock_ms: int) -> Transaction | None:
        """An open transaction. None where there is none to be had: the next try makes a new connection."""
        try:
            if self._connection is None:
                self._connection = self._database.connect_writer()
            return self._transactions.begin(self._connection, lock_ms, has_savepoints=True)
        except self._obstacles as error:
            logger.warning("writes that have met a lock wait: the database cannot be asked now: %s", error)
            self._disconnect()
            return None

    def _commit(self, group: list[QueuedWrite[Any]], transaction: Transaction) -> BaseException | None:
        """Do `group` in the open transaction, and tell; or what went wrong.

        Where the connection broke with that, it is gone, and nobody knows whether `group` was done.
        """
        try:
            results = self._transactions.execute(group, transaction)
            self._database.commit(self._connection, transaction.cursor, transaction.inserts)
        except BaseException as error:
            for pending in group:
                pending.losses += self._database.is_victim(error)
            try:
                self._connection.rollback()
            except self._database.errors:
                self._disconnect()
            return error
        self._leave(group)
        (self._suspect if transaction.has_met_lock else self._trust)(group)
        answer(group, results)
        self._tell(transaction.topics)
        return None

    def _give_up(self, group: list[QueuedWrite[Any]], ahead: deque[QueuedWrite[Any]], losses: int = 0) -> None:
        """Give `group` back to the writer, and behind it all that came later about the same."""
        subjects = {pending.subject for pending in group if pending.subject}
        with self._changed:
            later = [pending for pending in (*ahead, *self._blocked, *self._fresh) if pending.subject in subjects]
            for waiting in (ahead, self._blocked, self._fresh):
                kept = [pending for pending in waiting if pending.subject not in subjects]
                waiting.clear()
                waiting.extend(kept)
        for pending in group:
            pending.losses += losses
            pending.is_returned = True
        self._leave([*group, *later])
        self._give_back([*group, *later])

    def _leave(self, gone: Sequence[QueuedWrite[Any]]) -> None:
        with self._changed:
            for pending in gone:
                del self._here[pending]
                if pending.subject:
                    self._about[pending.subject] -= 1
                    if not self._about[pending.subject]:
                        del self._about[pending.subject]

    def _suspect(self, group: Sequence[QueuedWrite[Any]]) -> None:
        """What these touch may be locked."""
        until = time.monotonic() + SUSPECTED_S
        touched = {name for pending in group for name in pending.touches}
        with self._changed:
            self._suspected.update((name, until) for name in touched if name not in self._passed)

    def _trust(self, group: Sequence[QueuedWrite[Any]]) -> None:
        """What these have touched is not locked."""
        until = time.monotonic() + SUSPECTED_S
        touched = {name for pending in group for name in pending.touches}
        with self._changed:
            for name in touched & self._suspected.keys():
                del self._suspected[name]
                self._passed[name] = until

    def _refuse_all(self, reason: str) -> None:
        with self._changed:
            left = list(self._here)
            self._blocked, self._fresh = [], []
        self._leave(left)
        for pending in left:
            pending.refuse(Unavailable(reason))

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._close(connection)

    def _close(self, connection: Any) -> None:
        if connection is not None:
            try:
                connection.close()
            except self._database.errors as error:
                logger.warning("the connection of the lane did not close: %s", error)
