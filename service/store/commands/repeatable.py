"""The protocol for a COMMIT of unknown outcome: how a command can be executed twice without harm.

When a COMMIT fails, its transaction may be on disk or not. The writer then executes each of its commands again, so a
command that is executed twice must have the same effect and the same answer as after one execution. There are two ways:

1. The caller chooses the key of what the command writes: the id of a run or graph, the lease token and step of a
   commit, a status. The command writes on a condition (ON CONFLICT DO NOTHING, the fence, the run's status). If that
   prevents it from writing, it reads the row with that key. A row with the values it would have written is its own.
   `start`, `add`, `commit`, `begin`, `renew`, `release`, `cancel` and `pause` work like this.
2. The command finds the key while it executes: the next `seq`, lease token or signal number. Together with its answer
   it returns a function that finds what it wrote, and `repeatable` calls that function before it executes the command
   again. `append`, `claim`, `send`, `resume` and the `set` of schedules work like this.

Reading back locks the run's row first. That waits for a COMMIT that PostgreSQL is still executing after its connection
broke. The writer answers only when a synchronous standby has the transaction.

PostgreSQL's `pg_xact_status` is no alternative: each transaction would have to ask for its number, a server that a
standby has replaced does not know it, and SQLite has nothing like it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from service.store.database.transaction import Transaction

T = TypeVar("T")


class Executed(NamedTuple, Generic[T]):
    """The answer of one execution of a command, and how a later execution finds out whether it was committed."""

    answer: T
    read_back: Callable[[Transaction], T | None] | None = None
    """A function that returns the answer if this execution was committed, else None. Absent if it wrote nothing."""


def repeatable(execute: Callable[[Transaction], Executed[T]]) -> Callable[[Transaction], T]:
    """Return `execute` as a command that can safely be executed again after a COMMIT of unknown outcome."""
    last: Executed[T] | None = None

    def command(transaction: Transaction) -> T:
        nonlocal last
        if last is not None and last.read_back is not None and (answer := last.read_back(transaction)) is not None:
            return answer
        last = execute(transaction)
        return last.answer

    return command
