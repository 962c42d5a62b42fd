"""The commands that delete old runs, make backups and restore them."""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from pathlib import Path
from typing import Any

from service.cli import asking, output
from service.cli.operations import archive
from service.client import calls
from service.core.errors import StartRefused
from service.settings import Settings
from service.store.database.sqlite.connections import Sqlite
from service.store.database.sqlite.copy import check_database, copy_database

PAUSED_AT_ONCE = 500


def prune(settings: Settings, arguments: argparse.Namespace) -> int:
    """Delete the runs that ended long ago and that no other run needs, and print how many there were."""
    rule = {"older_than_s": arguments.older_than, "status": arguments.status, "graph": arguments.graph}
    rule |= {"keep_last": arguments.keep_last, "dry_run": arguments.dry_run}
    found = asking.run(_prune(settings, {name: value for name, value in rule.items() if value is not None}))
    dry, done = f"{found['matched']:,} runs would be deleted", f"{found['done']:,} runs were deleted"
    return output.print_answer(arguments, found, dry if arguments.dry_run else done)


async def _prune(settings: Settings, rule: dict[str, Any]) -> dict[str, int]:
    """Prune until a pass over all runs deletes none: a run may be kept only until its fork or parent is deleted."""
    total = {"matched": 0, "done": 0}
    async with asking.executing(settings, "prune", must_exist=True) as server:
        is_done = False
        while not is_done:
            done, cursor, is_first = 0, None, True
            while is_first or cursor is not None:
                page = await server.ask(calls.prune(rule, cursor), what="the prune")
                total = {name: total[name] + page[name] for name in total}
                done, cursor, is_first = done + page["done"], page["next_cursor"], False
            is_done = not done
    return total


def backup(settings: Settings, arguments: argparse.Namespace) -> int:
    """Save a SQLite database and the files of its runs in one archive, even while a server uses the database."""
    database, target = _file_of(settings), arguments.file
    if target.exists():
        raise StartRefused(f"{target} exists; a backup replaces nothing")
    asking.check_existence(database)
    try:
        with tempfile.TemporaryDirectory(dir=target.absolute().parent, prefix=".rungraph-backup-") as folder:
            copy = Path(folder) / archive.DATABASE
            copy_database(database, copy)
            # The files are saved after the database, so that they include all that the steps in the copy have written.
            archive.write(target, copy, settings.runs_folder(database))
    except OSError as error:
        raise StartRefused(f"cannot write {target}: {error.strerror or error}") from error
    print(f"{database.name} and the files of its runs are saved in {target}")
    return 0


def restore(settings: Settings, arguments: argparse.Namespace) -> int:
    """Make the database and the folder of runs from an archive. Without --resume, pause its runs and schedules."""
    database = _file_of(settings)
    runs_folder = settings.runs_folder(database)
    if database.file.exists() and database.file.stat().st_size:
        raise StartRefused(f"{database.file} exists; a restore replaces nothing")
    if runs_folder.exists() and any(runs_folder.iterdir()):
        raise StartRefused(f"{runs_folder} has files in it; a restore replaces nothing")
    ownership = database.own("rungraph restore")  # Makes an empty file if the database is missing.
    try:
        runs_folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=runs_folder.parent, prefix=".rungraph-restore-") as name:
            folder = Path(name)
            archive.extract(arguments.file, folder)
            copy = folder / archive.DATABASE
            check_database(copy)
            count = None if arguments.resume else asyncio.run(_pause_unfinished(Sqlite(copy), settings))
            (folder / archive.RUNS).mkdir(exist_ok=True)
            archive.sync_all(folder)
            os.replace(folder / archive.RUNS, runs_folder)
            archive.sync(runs_folder.parent)
            # The database is moved last, so that an interrupted restore leaves no database that looks complete.
            os.replace(copy, database.file)
            archive.sync(database.file.parent)
    except OSError as error:
        raise StartRefused(f"cannot restore {database.name}: {error.strerror or error}") from error
    finally:
        if not database.file.stat().st_size:
            database.file.unlink()
        ownership.release()
    told = (
        "unfinished runs go on with the next server"
        if count is None
        else f"{count:,} unfinished runs and all schedules are paused"
    )
    print(f"{database.name} is restored; {told}")
    return 0


def _file_of(settings: Settings) -> Sqlite:
    database = settings.database()
    if isinstance(database, Sqlite):
        return database
    raise StartRefused(
        f"{database.name} is PostgreSQL's: save it with `pg_dump --format=custom`, then copy"
        f" {settings.runs_folder(database)}; restore it with `pg_restore`"
    )


async def _pause_unfinished(database: Sqlite, settings: Settings) -> int:
    """Pause all schedules and all runs that would go on by themselves, and drop all pending deliveries of webhooks.

    Return the number of runs.
    """
    from service.store import Store
    from service.store.schema.migrate import migrate

    migrate(database)
    store = Store(database, server_id="restore", address="rungraph restore", lease_s=settings.lease_seconds)
    store.open()
    try:
        await store.schedules.pause_all()
        count, last = 0, ""
        while found := await store.runs.moving(last, PAUSED_AT_ONCE):
            await asyncio.gather(*(store.leases.release(lease, interrupted=True) for _, lease in found if lease))
            await asyncio.gather(*(store.control.pause(run_id) for run_id, _ in found))
            count, last = count + len(found), found[-1][0]
        # This comes last, because pausing a run may add a delivery that reports the pause.
        await store.deliveries.drop_all("a backup was restored; the server that made it may have sent this")
        return count
    finally:
        await store.close()
