"""The settings of a server, from environment variables. Only `main`, `cli` and `embedding` read them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from service.core.errors import StartRefused
from service.core.operations.webhooks import AllowedHosts, key_of

if TYPE_CHECKING:
    from service.store.database.protocol import Database

MIB = 2**20
LOCAL_CLUSTER = "local"
"""The value of RUNGRAPH_CLUSTER for a cluster of processes of this machine, which the server starts."""
SECONDS_OF_UNIT = {"d": 86_400, "h": 3600, "m": 60, "s": 1}


_SCHEDULER = re.compile(
    r"(?:(?:tcp|tls|ucx|ucxx)://)?[^\s/:]+:\d{1,5}|(?:tcp|tls|ucx|ucxx)://\[[0-9A-Fa-f:.]+\]:\d{1,5}|wss?://\S+"
)
"""Matches the addresses of schedulers that Dask accepts."""


@dataclass(frozen=True)
class Settings:
    database_url: str = "sqlite+aiosqlite:///./rungraph.db"
    database_url_source: str = "RUNGRAPH_DATABASE_URL"
    """The variable or option that has given `database_url`, for error messages."""
    server_url: str | None = None
    """The URL of the server that terminal commands call, instead of the server that owns the database."""
    host: str = "127.0.0.1"
    port: int = 8000
    tools: tuple[str, ...] = ()
    data_dir: Path | None = None
    """The folder for the files of runs; None: a folder beside the database."""
    api_token: str | None = None
    allow_anonymous: bool = False
    allow_undurable: bool = False
    """Accept a PostgreSQL that may lose acknowledged commits."""
    lease_seconds: float = 15.0
    max_active_runs: int = 1000
    tool_threads: int = 64
    cluster: str | None = None
    """The address of the scheduler of a Dask cluster, or LOCAL_CLUSTER; None: there is no cluster."""
    cluster_calls: int = 200
    """How many calls of tools this server may have on the cluster at a time. Further calls wait."""
    body_bytes_max: int = 1 * MIB
    state_bytes_max: int = 16 * MIB
    upload_bytes_max: int = 256 * MIB
    active_bytes_max: int | None = None
    """The most bytes of the states of all runs that are executed at a time; None: a share of the memory."""
    log_format: str = "text"
    log_level: str = "warning"
    traced_steps_per_s: float = 20.0
    """How many steps get spans each second in the long run, if the process has a provider of OpenTelemetry."""
    prune_after: float | None = None
    """How many seconds after the end of a run the server deletes the run by itself; None: never."""
    webhook_hosts: AllowedHosts = field(default_factory=AllowedHosts)
    """The hosts that webhooks may go to."""
    webhook_secret: str | None = field(default=None, repr=False)
    """The secret that signs webhooks. None: no webhook can be sent."""

    warnings: tuple[str, ...] = ()
    """Messages that a server logs at its start: one for each environment variable that may be a misspelt setting."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Return the settings in `environment`. An empty variable counts as unset.

        Raise StartRefused, with the variable's name, if a value is invalid.
        """
        given = _Variables(environment)
        return cls(
            database_url=given.text("DATABASE_URL") or cls.database_url,
            host=given.text("HOST") or cls.host,
            port=given.integer("PORT", cls.port, 0, 65_535),
            tools=given.parts("TOOLS"),
            data_dir=given.path("DATA_DIR"),
            api_token=given.token("API_TOKEN"),
            allow_anonymous=given.flag("ALLOW_ANONYMOUS"),
            allow_undurable=given.flag("ALLOW_UNDURABLE"),
            lease_seconds=given.number("LEASE_SECONDS", cls.lease_seconds, 1, 3600),
            max_active_runs=given.integer("MAX_ACTIVE_RUNS", cls.max_active_runs, 1, 100_000),
            tool_threads=given.integer("TOOL_THREADS", cls.tool_threads, 1, 10_000),
            cluster=given.cluster("CLUSTER"),
            cluster_calls=given.integer("CLUSTER_CALLS", cls.cluster_calls, 1, 100_000),
            body_bytes_max=given.integer("BODY_BYTES_MAX", cls.body_bytes_max, 1, 2**40),
            state_bytes_max=given.integer("STATE_BYTES_MAX", cls.state_bytes_max, 2, 2**30),
            upload_bytes_max=given.integer("UPLOAD_BYTES_MAX", cls.upload_bytes_max, 1, 2**50),
            active_bytes_max=given.integer("ACTIVE_BYTES_MAX", 0, 1, 2**50) or None,
            log_format=given.choice("LOG_FORMAT", cls.log_format, ("text", "json")),
            log_level=given.choice("LOG_LEVEL", cls.log_level, ("debug", "info", "warning", "error")),
            traced_steps_per_s=given.number("TRACED_STEPS_PER_S", cls.traced_steps_per_s, 0, 1_000_000),
            prune_after=given.duration_s("PRUNE_AFTER"),
            webhook_hosts=given.hosts("WEBHOOK_HOSTS"),
            webhook_secret=given.secret("WEBHOOK_SECRET"),
            warnings=given.misspelt(),
        )

    def database(self) -> Database:
        """Return the database that the URL names. Raise StartRefused if the URL names no database that can be used."""
        from service.store.database.opening import database_at  # slow to import

        return database_at(self.database_url, allow_undurable=self.allow_undurable, source=self.database_url_source)

    def runs_folder(self, database: Database) -> Path:
        """Return the folder below the data directory in which each run has a folder for its files."""
        return (self.data_dir or database.data_folder).absolute() / "runs"

    def make_runs_folder(self, database: Database) -> Path:
        """Make the folder of `runs_folder` if it is missing, and return it. Raise StartRefused if that fails."""
        folder = self.runs_folder(database)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StartRefused(f"cannot make {folder}, where runs leave their files: {error.strerror}") from error
        return folder


def read_duration_s(text: str) -> float:
    """Return the seconds of a duration such as `30d`, `12h`, `90m` or `10s`. Raise ValueError if it is none."""
    if not (text[:-1].isascii() and text[:-1].isdigit() and len(text) <= 7 and text[-1] in SECONDS_OF_UNIT):
        raise ValueError("it takes a whole number and a unit, such as 30d, 12h, 90m or 10s")
    return float(int(text[:-1]) * SECONDS_OF_UNIT[text[-1]])


_PREFIX = "RUNGRAPH_"
_MISSPELT_MIN = 0.9
"""How similar two names must be, from 0 to 1, for one to count as a misspelling of the other.

The number is high because all names share a long prefix.
"""


class _Variables:
    """The variables `RUNGRAPH_…` of an environment, parsed by type."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._known: set[str] = set()

    def misspelt(self) -> tuple[str, ...]:
        """Return a message for each variable that was not read and whose name resembles that of a variable read."""
        others = sorted({name for name in self._environment if name.upper().startswith(_PREFIX)} - self._known)
        if not others:
            return ()
        import difflib  # Most commands need it for nothing else.

        return tuple(
            f"{name} is not the name of a setting; did you mean {match[0]}?"
            for name in others
            if (match := difflib.get_close_matches(name.upper(), self._known, n=1, cutoff=_MISSPELT_MIN))
        )

    def text(self, name: str) -> str | None:
        self._known.add(f"{_PREFIX}{name}")
        return self._environment.get(f"{_PREFIX}{name}", "").strip() or None

    def parts(self, name: str) -> tuple[str, ...]:
        """Return the parts of a comma-separated text. Empty parts are omitted."""
        return tuple(part.strip() for part in (self.text(name) or "").split(",") if part.strip())

    def hosts(self, name: str) -> AllowedHosts:
        try:
            return AllowedHosts(self.parts(name))
        except ValueError as error:
            raise StartRefused(f"RUNGRAPH_{name}: {error}") from error

    def secret(self, name: str) -> str | None:
        """Return a secret in the form of Standard Webhooks, or None if the variable is unset."""
        text = self.text(name)
        try:
            if text is not None:
                key_of(text)
            return text
        except ValueError as error:
            raise StartRefused(f"RUNGRAPH_{name} is no secret: {error}") from error

    def token(self, name: str) -> str | None:
        """Return a text that a header can carry, or None if the variable is unset. It may be invalid UTF-8."""
        text = self.text(name)
        if text is not None and any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):
            raise StartRefused(
                f"RUNGRAPH_{name} has a control character in it, such as a line break; no header takes it"
            )
        return text

    def path(self, name: str) -> Path | None:
        text = self.text(name)
        return None if text is None else Path(text)

    def cluster(self, name: str) -> str | None:
        """Return the address of a scheduler, LOCAL_CLUSTER, or None if the variable is unset."""
        text = self.text(name)
        if text is None or text == LOCAL_CLUSTER:
            return text
        if not _SCHEDULER.fullmatch(text):
            raise StartRefused(
                f"RUNGRAPH_{name} is {text!r}; it takes an address such as tcp://scheduler:8786, or {LOCAL_CLUSTER}"
            )
        return text

    def flag(self, name: str) -> bool:
        text = (self.text(name) or "0").lower()
        if text not in ("0", "1", "true", "false", "yes", "no"):
            raise StartRefused(f"RUNGRAPH_{name} is {text!r}; it takes 0 or 1")
        return text in ("1", "true", "yes")

    def choice(self, name: str, default: str, choices: Sequence[str]) -> str:
        text = (self.text(name) or default).lower()
        if text not in choices:
            raise StartRefused(f"RUNGRAPH_{name} is {text!r}; it takes one of {', '.join(choices)}")
        return text

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        text = self.text(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
            raise StartRefused(f"RUNGRAPH_{name} is {text!r}; it takes an integer from {least} to {most}")
        return int(text)

    def duration_s(self, name: str) -> float | None:
        text = self.text(name)
        if text is None:
            return None
        try:
            return read_duration_s(text)
        except ValueError as error:
            raise StartRefused(f"RUNGRAPH_{name} is {text!r}; {error}") from error

    def number(self, name: str, default: float, least: float, most: float) -> float:
        text = self.text(name)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            raise StartRefused(f"RUNGRAPH_{name} is {text!r}; it takes a number from {least:g} to {most:g}")
        return value
