"""Writes that have met a lock that somebody else holds. They wait here, beside the writer.

On PostgreSQL anybody may lock a row or a table for any time: another server, a person in psql, a migration. All
commands of this server go through the writer, so the writer waits for a lock only briefly (`protocol.LOCK_MS`). When a
batch has met a lock, the writer hands it over to this module and goes on with what comes next. Blocked writes have a
connection and a thread of their own, as long as there are any.

- New writes are tried together. Each try that meets a lock halves the number that is tried together, and each try that
  succeeds doubles it. So the commands that no lock concerns are soon committed, and the others are known.
- The others are tried again one by one, in rounds, until the lock is gone or their deadline has passed.
- A command names what it touches; the first name is its subject, in most cases a run. Commands with the same subject
  are executed in the order in which they came. A command whose subject has a blocked write therefore waits here too.
- When a command meets a lock, everything that it touches is suspected of being locked. Commands that touch something
  suspected come here at once, so that no other batch of the writer meets the same lock. The suspicion ends when one of
  them succeeds, or after SUSPECTED_S.

A command that fails for any other reason goes back to the writer, which decides what becomes of it. So does a command
whose connection broke, because only the writer reads back whether it was committed.
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
from service.store.database.transaction import Transaction
from service.store.database.writing.queued_write import QueuedWrite, answer, pop_some
from service.store.database.writing.write_connection import Transactions

logger = logging.getLogger(__name__)

TRY_MS_MIN, TRY_MS_MAX = 2, 50
"""How long one try waits for a lock."""
ROUND_MS = 200
"""About how long one round waits for locks in all: the more subjects are blocked, the shorter each try."""
PAUSE_S_MIN, PAUSE_S_MAX = 0.05, 0.5
"""Bounds of the pause between two rounds: as long as the last round, so that they take at most half a core."""
SUSPECTED_S = 5.0
"""How long something is suspected of being locked after a command that touches it last met a lock."""
FORGET_S = 1.0
"""How long to wait between two searches for suspicions that have ended."""
LINGER_S = 10.0
"""How long the connection is kept while nothing waits."""
LOG_S = 10.0
"""How long to wait between two log lines that say how many writes wait."""
WAITING_MAX = 10_000
SAME_MAX = 100
"""The most writes that may wait here, and the most with the same subject. Further ones are refused."""

LOCKED = "somebody else has locked in the database what this changes: try again when the lock has gone"
STOPPING = "the server is stopping, and somebody else has locked in the database what this changes"
DROPPED = "the database takes no writes just now"


class BlockedWrites:
    """The writes that wait for locks. The writer calls the public methods; the thread here does the rest."""

    def __init__(
        self,
        database: Database,
        transactions: Transactions,
        give_back: Callable[[Sequence[QueuedWrite[Any]]], None],
        tell: Callable[[set[str]], None],
    ) -> None:
        """`give_back` queues writes at the writer. `tell` sends the events of a commit."""
        self._database = database
        self._transactions = transactions
        self._give_back = give_back
        self._tell = tell
        self._connection: Any = None
        self._obstacles: tuple[type[Exception], ...] = (OSError, *database.errors)
        self._changed = threading.Condition()
        """Held to change what follows, up to `_thread`. Only the writer adds writes, only the thread removes any."""
        self._here: dict[QueuedWrite[Any], None] = {}
        """All writes that wait here: those in the lists below, and those that the thread is trying."""
        self._count_of: Counter[str] = Counter()
        """How many of the writes in `_here` each subject has."""
        self._fresh: list[QueuedWrite[Any]] = []
        """The writes that have not been tried here."""
        self._suspected: dict[str, float] = {}
        """Names of what may be locked, and until when that is assumed."""
        self._passed: dict[str, float] = {}
        """Names that are no longer suspected because a command succeeded, and until when they stay unsuspected."""
        self._forget_at = 0.0
        self._closing = False
        self._thread: threading.Thread | None = None
        self._blocked: list[QueuedWrite[Any]] = []
        """The writes that have met a lock and those that must follow them, in the order in which they came."""
        self._again_at = 0.0
        """The time at which the writes in `_blocked` are tried again."""
        self._logged_at = -LOG_S

    def take(self, waiting: deque[QueuedWrite[Any]], count: int) -> list[QueuedWrite[Any]]:
        """Take writes of about `count` steps from `waiting`, and return those that touch nothing blocked or suspected.

        The others wait here from now on.
        """
        if not self._here and not self._suspected:
            return pop_some(waiting, count)
        free: list[QueuedWrite[Any]] = []
        refused: list[QueuedWrite[Any]] = []
        with self._changed:
            self._forget_old()
            for write in pop_some(waiting, count):
                suspected = () if write.is_returned else self._suspected
                if any(name in self._count_of or name in suspected for name in write.touches):
                    if not self._admit(write):
                        refused.append(write)
                else:
                    free.append(write)
        for write in refused:
            write.refuse(Unavailable(LOCKED))
        return free

    def takes(self, batch: Sequence[QueuedWrite[Any]], error: BaseException) -> bool:
        """If `batch` was rolled back because of a lock, let it wait here from now on and return True."""
        # On SQLite nobody locks a row, and the writer itself waits for the file.
        if not (self._database.is_shared and isinstance(error, Exception) and self._database.is_locked(error)):
            return False
        with self._changed:
            refused = [write for write in batch if not self._admit(write)]
        for write in refused:
            write.refuse(Unavailable(LOCKED))
        return True

    def close(self) -> None:
        """Try once more what waits, and refuse what still meets a lock. The writer hands over nothing afterwards."""
        with self._changed:
            self._closing = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _admit(self, write: QueuedWrite[Any]) -> bool:
        """Let `write` wait here and return True. Return False if too many writes wait already."""
        is_full = len(self._here) >= WAITING_MAX or self._count_of[write.subject] >= SAME_MAX
        if is_full and not write.losses:  # A write that may have been committed must be read back.
            return False
        self._here[write] = None
        write.is_returned = False
        if write.subject:
            self._count_of[write.subject] += 1
        self._fresh.append(write)
        if self._thread is None:
            thread = threading.Thread(target=self._work, name="rungraph-blocked-writes", daemon=True)
            thread.start()
            self._thread = thread
        self._changed.notify()
        return True

    def _forget_old(self) -> None:
        """Remove the suspicions that have ended."""
        now = time.monotonic()
        if now < self._forget_at:
            return
        self._forget_at = now + FORGET_S
        self._suspected = {name: until for name, until in self._suspected.items() if until > now}
        self._passed = {name: until for name, until in self._passed.items() if until > now}

    # All that follows runs on the thread of the blocked writes.

    def _work(self) -> None:
        while self._has_work():
            try:
                self._try_fresh()
                if self._closing or time.monotonic() >= self._again_at:
                    self._try_blocked()
                if self._closing:
                    self._refuse_all(STOPPING)
            except Exception:
                # A fault of ours refuses these writes. Later ones must still be answered.
                logger.exception("writes that had met a lock were dropped")
                self._disconnect()
                self._refuse_all(DROPPED)

    def _has_work(self) -> bool:
        """Wait for work. If no write is left, close the connection and return False, upon which the thread ends."""
        with self._changed:
            if not self._fresh and not self._closing:
                self._changed.wait(max(0.0, self._again_at - time.monotonic()) if self._blocked else LINGER_S)
            if self._here:
                return True
            self._thread = None
            connection, self._connection = self._connection, None
        self._close(connection)
        return False

    def _try_fresh(self, subjects_ahead: Set[str] = frozenset()) -> None:
        """Try the new writes. `subjects_ahead` are subjects of writes that came before them."""
        with self._changed:
            fresh, self._fresh = self._fresh, []
        if fresh:
            blocked = {write.subject for write in self._blocked}
            self._blocked += self._try(fresh, len(fresh), blocked | subjects_ahead)

    def _try_blocked(self) -> None:
        """Try all that have met a lock once more, in one round. New writes are tried between any two of them."""
        began = time.monotonic()
        blocked, self._blocked = self._blocked, []
        subjects = {write.subject for write in blocked}
        left = self._try(blocked, 1, between=lambda: self._try_fresh(subjects))
        self._blocked = left + self._blocked
        ended = time.monotonic()
        if self._blocked and ended - self._logged_at >= LOG_S:
            self._logged_at = ended
            subject = self._blocked[0].subject
            logger.warning(
                "%d writes wait for locks of others, the first of them about %s", len(self._blocked), subject
            )
        self._again_at = ended + min(max(ended - began, PAUSE_S_MIN), PAUSE_S_MAX)

    def _try(
        self,
        writes: Sequence[QueuedWrite[Any]],
        size: int,
        subjects_ahead: Set[str] = frozenset(),
        between: Callable[[], None] = lambda: None,
    ) -> list[QueuedWrite[Any]]:
        """Commit what can be committed, at first `size` together. Return the rest, in its order."""
        left: list[QueuedWrite[Any]] = []
        ahead = deque(write for write in writes if self._still_waits(write))
        tries = max(1, len({write.subject for write in ahead}))
        lock_ms = max(TRY_MS_MIN, min(TRY_MS_MAX, ROUND_MS // tries))
        subjects_left = set(subjects_ahead)
        while ahead:
            between()
            group = self._next_group(ahead, size, subjects_left, left)
            if not group:
                continue
            if (transaction := self._begin(lock_ms)) is None:
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
                subjects_left.add(group[0].subject)
                self._suspect(group)
            else:
                self._give_up(group, ahead)
        return left

    def _next_group(
        self, ahead: deque[QueuedWrite[Any]], size: int, subjects_left: Set[str], left: list[QueuedWrite[Any]]
    ) -> list[QueuedWrite[Any]]:
        """Take at most `size` writes from `ahead`, to be tried together.

        Writes whose subject is in `subjects_left` must wait for earlier ones, and are appended to `left`.
        """
        group: list[QueuedWrite[Any]] = []
        while ahead and len(group) < size:
            write = ahead.popleft()
            if not self._still_waits(write):
                continue
            if write.subject and write.subject in subjects_left:
                left.append(write)
            elif write.is_wanted():
                group.append(write)
            else:
                self._leave([write])
        return group

    def _still_waits(self, write: QueuedWrite[Any]) -> bool:
        """Whether the caller of `write` still waits and its deadline has not passed. Remove it otherwise."""
        if write.is_overdue():
            write.refuse(Unavailable(LOCKED))
        elif not write.future.cancelled():
            return True
        self._leave([write])
        return False

    def _begin(self, lock_ms: int) -> Transaction | None:
        """Open a transaction, or return None if that fails: the next try makes a new connection."""
        try:
            if self._connection is None:
                self._connection = self._database.connect_writer()
            return self._transactions.begin(self._connection, lock_ms, has_savepoints=True)
        except self._obstacles as error:
            logger.warning("writes that have met a lock wait: the database cannot be asked now: %s", error)
            self._disconnect()
            return None

    def _commit(self, group: list[QueuedWrite[Any]], transaction: Transaction) -> BaseException | None:
        """Commit `group` in the open transaction and answer its callers, or return the error.

        If the connection broke, `_connection` is None afterwards, and the outcome is unknown.
        """
        try:
            results = self._transactions.execute(group, transaction)
            self._database.commit(self._connection, transaction.cursor, transaction.inserts)
        except BaseException as error:
            for write in group:
                write.losses += self._database.is_victim(error)
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
        """Give `group` back to the writer, and behind it all later writes with the same subjects.

        The writer queues them before they are removed here, both under one lock. Otherwise the writer could take a
        later write with the same subject in between.
        """
        subjects = {write.subject for write in group if write.subject}
        with self._changed:
            later = [write for write in (*ahead, *self._blocked, *self._fresh) if write.subject in subjects]
            for waiting in (ahead, self._blocked, self._fresh):
                kept = [write for write in waiting if write.subject not in subjects]
                waiting.clear()
                waiting.extend(kept)
            for write in group:
                write.losses += losses
                write.is_returned = True
            self._give_back([*group, *later])
            self._leave([*group, *later])

    def _leave(self, gone: Sequence[QueuedWrite[Any]]) -> None:
        """Remove the writes `gone` from those that wait here."""
        with self._changed:
            for write in gone:
                del self._here[write]
                if write.subject:
                    self._count_of[write.subject] -= 1
                    if not self._count_of[write.subject]:
                        del self._count_of[write.subject]

    def _suspect(self, group: Sequence[QueuedWrite[Any]]) -> None:
        """Assume that what `group` touches is locked."""
        until = time.monotonic() + SUSPECTED_S
        names = {name for write in group for name in write.touches}
        with self._changed:
            self._suspected.update((name, until) for name in names if name not in self._passed)

    def _trust(self, group: Sequence[QueuedWrite[Any]]) -> None:
        """Note that what `group` has touched is not locked."""
        until = time.monotonic() + SUSPECTED_S
        names = {name for write in group for name in write.touches}
        with self._changed:
            for name in names & self._suspected.keys():
                del self._suspected[name]
                self._passed[name] = until

    def _refuse_all(self, reason: str) -> None:
        with self._changed:
            left = list(self._here)
            self._blocked, self._fresh = [], []
        self._leave(left)
        for write in left:
            write.refuse(Unavailable(reason))

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._close(connection)

    def _close(self, connection: Any) -> None:
        if connection is not None:
            try:
                connection.close()
            except self._database.errors as error:
                logger.warning("the connection of the blocked writes did not close: %s", error)
