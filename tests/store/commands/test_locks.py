"""Law 16 on PostgreSQL: whoever locks a row or a table holds up the commands that touch it, and no others.

Every command is put behind a lock of somebody else's. The commands of other runs go on while that is held. When it has
gone the command is done, once, and the tables hold what they would hold if nothing had been locked.
"""

from __future__ import annotations

from typing import Any

import pytest

from service.core.join import child_id
from service.store import Store
from service.store.database.protocol import Database
from tests.support.store.behind_locks import assert_waits_alone
from tests.support.store.carrying import NAP, parked, single
from tests.support.store.commands import COMMANDS, nothing
from tests.support.store.control.commands import FIRST, patched
from tests.support.store.harness import COUNTER, clean
from tests.support.store.locking import OTHER, row, whole

COUNTING = single({"tool": "add", "max_visits": 5}, edges={"a": "a"}, name="counting")
SIBLING = child_id("p", 1, 1, 1)


@pytest.fixture
def database(kept: Database) -> Database:
    clean(kept)
    return kept


# What each command is put behind. What it answers and leaves is what `COMMANDS` and an honest execution say.

ITS_RUN = "SELECT FROM runs WHERE id IN ('r', 'p') FOR UPDATE"
ITS_GRAPH = f"SELECT FROM graphs WHERE id <> '{OTHER.id}' FOR UPDATE"
ITS_PARENT = row("p")
ITS_SIBLING = row(SIBLING)
ITS_CHILD = row(FIRST)
ITS_KEY = "INSERT INTO idempotency_keys VALUES ('POST /graph/run', 'k', 'another body', 'nobody')"
THE_SAME_GRAPH = f"INSERT INTO graphs VALUES ('{COUNTER.id}', '', 'a', '', now())"
THE_SAME_RUN = (
    "INSERT INTO runs (id, graph_id, status, step, attempt, crashes, in_flight, last_seq, lease_token, tags, due_at,"
    " created_at, moved_at, current_node) SELECT 'r', id, 'queued', 0, 1, 0, 0, 0, 0, '', now(), now(), now(), 'a'"
    " FROM graphs LIMIT 1"
)
THE_SAME_SERVER = "INSERT INTO servers VALUES ('one', '', now(), now(), 0)"

PLAIN = (
    "begin",
    "release",
    "interrupt",
    "advance",
    "end",
    "fail",
    "advance by a chain",
    "end by a chain",
    "append",
    "append twice",
    "append, then advance",
)
OF_PARENTS = ("cancel a parent", "start all children", "start some children", "join", "fail for a child")
OF_CHILDREN = ("cancel a child", "end a child", "fail a child")
OF_RUNS = (
    *("send", "send with a key", "send to one that waits", "cancel", "cancel one that waits"),
    *("pause", "pause one that runs", "pause one that waits", "withdraw a pause"),
    *("resume", "resume with a patch", "resume one that failed", "resume one that waited"),
    *("park", "park with mail", "park, then pause", "step, then pause", "retry", "consume"),
)

BEHIND: list[tuple[str, str]] = [
    *((command, ITS_RUN) for command in (*PLAIN, *OF_RUNS, *OF_PARENTS)),
    *((command, ITS_PARENT) for command in OF_CHILDREN),
    *((command, ITS_CHILD) for command in (*OF_CHILDREN, "cancel a parent")),
    ("fail for a child", ITS_SIBLING),
    *((command, ITS_GRAPH) for command in ("start", "start with a key", "start all children")),
    ("add", whole("graphs", "SHARE")),
    ("start with a key", ITS_KEY),
    *((command, THE_SAME_RUN) for command in ("start", "start with a key")),
    ("add", THE_SAME_GRAPH),
    ("join the servers", THE_SAME_SERVER),
    *((command, whole("servers")) for command in ("join the servers", "leave the servers")),
    ("consume", "SELECT FROM signals FOR UPDATE"),
    *((command, "SELECT FROM waits FOR UPDATE") for command in ("consume", "join", "end a wait with a patch")),
    *((command, whole("signals")) for command in ("send", "consume", "park", "resume", "end a child")),
    *((command, whole("signals", "SHARE ROW EXCLUSIVE")) for command in ("send", "consume")),
    *((command, whole("waits")) for command in ("park", "resume", "cancel", "retry", "end a child", "join")),
    *((command, whole("visits")) for command in ("resume", "resume with a patch")),
    *((command, "CREATE INDEX a ON attempts (error)") for command in ("fail", "interrupt", "retry")),
    *(
        (command, "ALTER TABLE idempotency_keys ADD COLUMN b text")
        for command in ("start with a key", "send with a key")
    ),
    *((command, whole("run_tags", "SHARE")) for command in ("start", "start with a key")),
]


async def waiting_and_paused(store: Store) -> None:
    await parked(store, "r", NAP)
    await store.control.pause("r")


ALL_COMMANDS: dict[str, Any] = {
    **COMMANDS,
    "probe": (nothing, lambda store, _: store.servers.probe(within_s=60)),
    "join the servers": (nothing, lambda store, _: store.servers.join()),
    "leave the servers": (nothing, lambda store, _: store.servers.leave()),
    "end a wait with a patch": (waiting_and_paused, lambda store, _: store.control.resume("r", patched(n=7))),
}


@pytest.mark.parametrize(("command", "lock"), BEHIND)
async def test_a_command_behind_a_lock_is_done_once_and_holds_up_no_other(
    database: Database, command: str, lock: str
) -> None:
    prepare, do = ALL_COMMANDS[command]
    await assert_waits_alone(database, prepare, do, lock)


def test_every_command_is_put_behind_a_lock() -> None:
    """But for what passes over locked rows, and for what SQLite alone does; see the tests below."""
    passing = {"claim", "claim one of two", "renew", "share", "seize", "probe"}
    assert {command for command, _ in BEHIND} | passing == {*ALL_COMMANDS}
