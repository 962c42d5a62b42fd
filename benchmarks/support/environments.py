"""An environment for each competitor, made once under a cache folder, with the versions that are pinned here."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

BASE = f"{sys.version_info.major}.{sys.version_info.minor}"
"""Competitors run on the Python that the harness runs on, unless they need another."""


@dataclass(frozen=True)
class Environment:
    packages: tuple[str, ...]
    python: str = BASE


ENVIRONMENTS = {
    "langgraph": Environment(
        (
            "langgraph==1.2.22",
            "langgraph-checkpoint-sqlite==3.1.2",
            "langgraph-checkpoint-postgres==3.2.0",
            "aiosqlite==0.22.1",
            "psycopg[binary,pool]==3.3.9",
        )
    ),
    "langgraph-dev": Environment(
        ("langgraph==1.2.22", "langgraph-cli[inmem]==0.4.40", "langgraph-api==0.16.7", "uvicorn==0.54.0")
    ),
    "dbos": Environment(("dbos==3.4.0", "sqlalchemy==2.1.9", "psycopg[binary]==3.3.9")),
    "burr": Environment(("apache-burr==0.43.0", "aiosqlite==0.22.1")),
    "dura": Environment(("dura==1.3.0",), python="3.13"),
    "absurd": Environment(("absurd-sdk==0.5.1", "absurdctl==0.5.1", "psycopg[binary]==3.3.9")),
    "plot": Environment(("matplotlib==3.11.2",)),
}


class Missing(Exception):
    """An environment cannot be made here."""


def python_of(name: str, cache: Path) -> Path:
    """The interpreter of an environment, which is made if it is not there."""
    wanted = ENVIRONMENTS[name]
    digest = hashlib.sha256(repr(wanted).encode()).hexdigest()[:8]
    folder = cache.absolute() / f"{name}-{digest}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        print(f"making the environment of {name} in {folder}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        _run(_interpreter(wanted.python), "-m", "venv", folder)
        _run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted.packages)
        (folder / "complete").write_text(_run(python, "-m", "pip", "freeze"))
    return python


def versions_of(python: Path) -> list[str]:
    """All packages that an environment made here has."""
    return (python.parent.parent / "complete").read_text().split("\n")[:-1]


def _interpreter(version: str) -> Path:
    if version == BASE:
        return Path(sys.executable)
    found = shutil.which(f"python{version}")
    # A shim of pyenv's is there for versions that are not chosen, too.
    if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
        return Path(found)
    for folder in sorted(Path.home().glob(f".pyenv/versions/{version}*"), reverse=True):
        if (python := folder / "bin" / "python").exists():
            return python
    raise Missing(f"there is no Python {version}")


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"{' '.join(map(str, command))}\n{done.stderr[-2000:]}")
    return done.stdout
