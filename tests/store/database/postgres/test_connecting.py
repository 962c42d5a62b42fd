"""A start that finds no PostgreSQL says so at once: it waits for one that may still come, and for nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from service.core.errors import StartRefused
from service.store.database.opening import database_at
from service.store.schema.migrate import migrate
from tests.support.postgres import Server, own_server

HBA = """\
host all postgres,nobody,barred 127.0.0.1/32 trust
host all keen,full 127.0.0.1/32 scram-sha-256
host all known 127.0.0.1/32 ident
host all rejected 127.0.0.1/32 reject
"""


@pytest.fixture(scope="module")
def strict() -> Iterator[Server]:
    """A server that asks for passwords, and refuses in every way there is."""
    with own_server() as server:
        with psycopg.connect(server.url, autocommit=True) as session:
            session.execute("CREATE ROLE keen LOGIN PASSWORD 'right'")
            session.execute("CREATE ROLE full LOGIN PASSWORD 'right' CONNECTION LIMIT 0")
            session.execute("CREATE ROLE barred")
            session.execute("CREATE DATABASE shut ALLOW_CONNECTIONS false")
            session.execute("CREATE DATABASE theirs")
            session.execute("REVOKE CONNECT ON DATABASE theirs FROM PUBLIC")
        Path(server.folder, "pg_hba.conf").write_text(HBA)
        server.stop()
        server.start()
        yield server


REFUSED = {
    "a wrong password": ("keen:wrong@{place}/postgres", "password authentication failed"),
    "no password": ("keen@{place}/postgres", "no password supplied"),
    "an unknown database": ("{place}/nothing", 'database "nothing" does not exist'),
    "an unknown role": ("nobody@{place}/postgres", 'role "nobody" does not exist'),
    "a role without login": ("barred@{place}/postgres", "not permitted to log in"),
    "a database that is shut": ("{place}/shut", "not currently accepting connections"),
    "a database of somebody else's": ("keen:right@{place}/theirs", "permission denied for database"),
    "a host that is rejected": ("rejected@{place}/postgres", "pg_hba.conf rejects"),
    "a host that is not listed": ("unlisted@{place}/postgres", "no pg_hba.conf entry"),
    "a way to authenticate that fails": ("known@{place}/postgres", "authentication failed"),
    "no TLS": ("{place}/postgres?sslmode=require", "does not support SSL"),
    "a setting that there is not": ("{place}/postgres?options=-cnonsense%3D1", "unrecognized configuration parameter"),
    "the last one of the host's addresses": ("keen:wrong@localhost:{port}/postgres", "password authentication failed"),
}


def url_to(server: Server, form: str) -> str:
    form = form.format(place=f"127.0.0.1:{server.port}", port=server.port)
    return "postgresql://" + (form if "@" in form else f"postgres@{form}")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(_seconds: float) -> None:
        raise AssertionError("it waits for what waiting does not mend")

    monkeypatch.setattr("service.store.database.postgres.connections.time.sleep", wait)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("case", REFUSED)
def test_what_waiting_does_not_mend_is_said_at_once(strict: Server, case: str) -> None:
    form, why = REFUSED[case]
    with pytest.raises(StartRefused, match=why) as refused:
        migrate(database_at(url_to(strict, form)))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "form",
    [
        "127.0.0.1:1/postgres",
        "postgres@127.0.0.1:1,{place}/nothing",
        "no-such-host.invalid/postgres",
        "full:right@{place}/postgres",
    ],
)
def test_a_start_that_waits_says_so_once(
    strict: Server, form: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("service.store.database.postgres.connections.START_WITHIN_S", 0.3)
    monkeypatch.setattr("service.store.database.postgres.connections.RETRY_S", 0.05)
    with (
        caplog.at_level(logging.WARNING, "service.store.database.postgres.connections"),
        pytest.raises(StartRefused, match="cannot use"),
    ):
        migrate(database_at(url_to(strict, form)))
    [waiting] = [
        record.getMessage() for record in caplog.records if record.name == "service.store.database.postgres.connections"
    ]
    assert waiting.startswith("waiting up to 0.3 s for postgresql://")


def test_a_start_goes_on_as_soon_as_postgresql_has_come(
    strict: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("service.store.database.postgres.connections.START_WITHIN_S", 60.0)
    strict.stop("immediate")
    starts = iter([strict.start])
    # What it does between two tries: the first time PostgreSQL is started.
    monkeypatch.setattr(
        "service.store.database.postgres.connections.time.sleep", lambda _: next(starts, lambda: None)()
    )
    migrate(database_at(strict.url))
    assert "waiting up to 60 s" in caplog.text
