"""The store: every command and query, each one transaction. Nobody else knows SQL.

database   connections, the writer, transactions, the clock: it knows no table
schema     the tables, the views, and how a database is brought to them
rows       what several commands read or write
commands   what writes: one file for a command or a family of commands
queries    what reads
subjects   both, joined by subject for the callers of `Store`
"""

from service.store.store import Store

__all__ = ["Store"]
