"""Delete runs: what may be deleted, that nothing of it stays, and that a killed server leaves nothing half deleted."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from service.api.folders import deleting
from service.api.folders.deleting import Pruned, finish, prune
from service.core.errors import Conflict, NotFound
from service.core.transitions import OVER
from service.store import Store
from service.store.commands.start import Start
from service.store.database.protocol import Database
from service.store.queries.runs.filter import RunFilter
from service.store.queries.runs.prunable import FIRST, PruneRule
from service.store.schema.models import metadata
from service.store.schema.views import VIEWS
from tests.support.store.carrying import LEAF, begun, children_of, claim, fan, graph, rest, run_of, status_of
from tests.support.store.control.statuses import MADE
from tests.support.store.harness import ask, dump, key_of, opened, sql, start_of

KEPT = {"graphs", "servers", "alembic_version"}
SIGNALLED = graph({"start_node": "a", "nodes": {"a": {"signal": "ok"}, "b": "add"}, "edges": {"a": "b"}})


async def over(store: Store, run_id: str, *, forked_from: tuple[str, int] | None = None) -> None:
    """A run that has completed, with a tag, a key, signals, steps and lines."""
    await store.graphs.add(SIGNALLED)
    start = start_of(run_id, SIGNALLED, tags={"team": "data"})
    await store.runs.start(
        Start(start.run_id, start.graph_id, start.state, start.tags, forked_from=forked_from), key_of(run_id)
    )
    await store.signals.send(run_id, "ok", "1")
    await store.signals.send(run_id, "ok", "2")
    await rest(store, await claim(store, run_id))


def rows(database: Database) -> int:
    return sum(len(found) for name, found in dump(database).items() if name not in KEPT)


def age(database: Database, run_id: str) -> None:
    """Let the run have ended long ago."""
    with sql(database) as session:
        session.execute(
            "UPDATE runs SET created_at = '2001-01-01T00:00:00.000Z', finished_at = '2001-01-02T00:00:00.000Z'"
            " WHERE id = ?",
            (run_id,),
        )


async def test_nothing_of_a_deleted_run_stays(database: Database, tmp_path: Path) -> None:
    async with opened(database) as store:
        await over(store, "r")
        (tmp_path / "r" / "deep").mkdir(parents=True)
        await store.deletions.mark("r")
        await finish(store, tmp_path)
        assert rows(database) == 0
        assert not os.path.exists(tmp_path / "r")  # noqa: ASYNC240  # in a test
        with pytest.raises(NotFound):
            await store.deletions.mark("r")


async def test_a_run_is_out_of_sight_from_the_mark_on(database: Database, tmp_path: Path) -> None:
    async with opened(database) as store:
        await over(store, "r")
        before = dump(database)
        await store.deletions.mark("r")
        swept = await store.deletions.sweep(["r"], 1)
        assert not swept.is_done  # As if the server had been killed here.
        assert rows(database) == sum(map(len, before.values())) - sum(len(before[name]) for name in KEPT & set(before))
        for view in VIEWS[database.dialect]:
            assert ask(database, f"SELECT * FROM {view}") == [], view
        assert await store.runs.newest(RunFilter(), 10) == []
        for command in (
            store.runs.get("r"),
            store.runs.whole("r", 0, 10),
            store.runs.listed("r"),
            store.history.page("r", 0, 10),
            store.history.why("r"),
            store.logs.page("r", 0, 10),
            store.details.path("r"),
            store.details.signals("r"),
            store.details.keys("r"),
            store.control.cancel("r"),
            store.control.resume("r"),
            store.signals.send("r", "ok", "1"),
            store.deletions.mark("r"),
        ):
            with pytest.raises(NotFound):
                await command
    async with opened(database, server_id="two") as store:  # Another server goes on.
        await finish(store, tmp_path)
    assert rows(database) == 0


@pytest.mark.parametrize("make", MADE, ids=lambda make: make.__name__)
async def test_only_a_run_that_is_over_is_deleted(database: Database, make: object) -> None:
    async with opened(database) as store:
        await make(store)  # type: ignore[operator]  # one of MADE
        status = status_of(database, "r")
        if status in OVER:
            await store.deletions.mark("r")
        else:
            with pytest.raises(Conflict, match=f"the run is {status}"):
                await store.deletions.mark("r")
            assert dump(database)["deletions"] == []


async def test_a_run_is_kept_as_long_as_a_fork_of_it(database: Database, tmp_path: Path) -> None:
    async with opened(database) as store:
        await over(store, "old")
        await over(store, "new", forked_from=("old", 1))
        with pytest.raises(Conflict, match="fork"):
            await store.deletions.mark("old")
        await store.deletions.mark("new")
        await store.deletions.mark("old")
        await finish(store, tmp_path)
        assert rows(database) == 0
        with pytest.raises(NotFound):
            await over(store, "late", forked_from=("old", 1))


async def test_children_stay_and_keep_their_first_states(database: Database, tmp_path: Path) -> None:
    async with opened(database) as store:
        parent = await begun(store, "p", fan(input=["big"]), LEAF, items=[1, 2], big="x" * 10_000)
        await rest(store, parent)
        children = [run_id for run_id, _ in children_of(database, "p")]
        for child in children:
            with pytest.raises(Conflict, match="queued"):
                await store.deletions.mark(child)
        await rest(store, await claim(store, children[0]))
        with pytest.raises(Conflict, match="parent is waiting"):
            await store.deletions.mark(children[0])
        await rest(store, await claim(store, children[1]))
        await rest(store, await claim(store, "p"))
        await store.deletions.mark("p")
        await finish(store, tmp_path)
        _, state = await store.history.state_at(children[1], 0)
        assert state.to_object()["big"] == "x" * 10_000
        for child in children:
            await store.deletions.mark(child)
        await finish(store, tmp_path)
        assert rows(database) == 0


async def test_a_failed_run_that_is_deleted_cannot_be_resumed_by_a_call_that_waited(database: Database) -> None:
    """The call may have begun before the mark; then it sees the run's row as the deletion has left it."""
    async with opened(database) as store:
        await MADE[5](store)
        assert status_of(database, "r") == "failed"
        await store.deletions.mark("r")
        assert run_of(database, "r", "status", "error", "current_node") == ("cancelled", None, None)


async def test_a_prune_takes_parents_before_children_and_leaves_what_is_needed(
    database: Database, tmp_path: Path
) -> None:
    async with opened(database) as store:
        parent = await begun(store, "p", fan(), LEAF, items=[1, 2])
        await rest(store, parent)
        children = [run_id for run_id, _ in children_of(database, "p")]
        for child in children:
            await rest(store, await claim(store, child))
        await over(store, "old")
        await over(store, "new")
        rule = PruneRule(older_than_s=86_400)
        for run_id in (*children, "old"):
            age(database, run_id)
        assert (await prune(store, tmp_path, rule, dry_run=True)).matched == 1  # The parent is not over.
        await rest(store, await claim(store, "p"))
        age(database, "p")
        assert (await prune(store, tmp_path, rule, dry_run=True)).matched == 4
        assert (await prune(store, tmp_path, PruneRule(86_400, statuses=("failed",)))).done == 0
        assert (await prune(store, tmp_path, PruneRule(86_400, graph_name="another"))).done == 0
        assert (await prune(store, tmp_path, PruneRule(86_400, keep_last=5))).done == 0
        pruned = await prune(store, tmp_path, rule)
        assert (pruned.done, pruned.next_cursor) == (4, None)
        assert ask(database, "SELECT id FROM runs") == [("new",)]


async def test_a_prune_marks_no_more_runs_while_many_are_being_deleted(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deleting, "MARKED_AHEAD_MAX", 1)
    monkeypatch.setattr(deleting, "FINISH_WITHIN_S", 0.01)
    async with opened(database) as store:
        for run_id in ("a", "b", "c"):
            await over(store, run_id)
        for run_id in ("a", "b"):
            age(database, run_id)
        rule = PruneRule(older_than_s=86_400)
        async with store.deletions.turn:  # The server's own task deletes, and takes long.
            first = await prune(store, tmp_path, rule)
            assert (first.done, first.next_cursor) == (2, FIRST.cursor)
            age(database, "c")
            assert await prune(store, tmp_path, rule, first.next_cursor) == Pruned(0, 0, FIRST.cursor)
            assert await store.runs.marked(10) == ["a", "b"]
        monkeypatch.setattr(deleting, "FINISH_WITHIN_S", 60)
        assert await prune(store, tmp_path, rule, first.next_cursor) == Pruned(1, 1, None)
        assert rows(database) == 0


async def test_two_servers_delete_together(database: Database, tmp_path: Path) -> None:
    if database.dialect == "sqlite":
        pytest.skip("one server owns the file")
    async with opened(database) as one, opened(database, server_id="two") as two:
        for number in range(20):
            await over(one, f"r{number}")
        await one.deletions.mark_all([f"r{number}" for number in range(10)])
        await two.deletions.mark_all([f"r{number}" for number in range(20)])
        await asyncio.gather(finish(one, tmp_path), finish(two, tmp_path))
        await finish(one, tmp_path)
        assert rows(database) == 0


def test_every_table_with_rows_of_runs_is_emptied() -> None:
    from service.store.schema.models import TABLES_OF_RUNS

    belonging = {table.name for table in metadata.sorted_tables if "run_id" in table.c}
    assert belonging == {table.name for table in TABLES_OF_RUNS} | {"deletions", "shared_values"}
