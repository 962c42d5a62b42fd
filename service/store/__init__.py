"""The store: every command and query, each one transaction. Nobody else knows SQL.

database   connections, the writer, transactions, the clock: it knows no table
schema     the tables, the views, and the migration of a database
rows       what several commands read or write
commands   what writes: one file for a command or a family of commands
queries    what reads
subjects   commands and queries, joined by subject for the callers of `Store`
reading    queries without the commands, so that they are quicker to import
"""

from typing import TYPE_CHECKING

from service.lazy import attributes_of

if TYPE_CHECKING:
    from service.store.store import Store
else:
    __getattr__, __dir__ = attributes_of(__name__, Store="service.store.store")

__all__ = ["Store"]
