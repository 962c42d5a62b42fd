"""Compare the versions of a server and of a worker, since code and messages pass between them."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from service.version import VERSION

Versions = Mapping[str, str | None]
PACKAGES = ("dask", "distributed")


def versions_here() -> dict[str, str | None]:
    """Return the versions that have to be the same on a worker. Python's version is cut to its first two numbers."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, **{name: _version(name) for name in PACKAGES}, "rungraph": VERSION}


def versions_of_report(report: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the same versions as `versions_here`, from Dask's report on a worker or a scheduler."""
    packages = report.get("packages", {})
    python = ".".join(str(packages.get("python", "")).split(".")[:2])
    return {"python": python, **{name: packages.get(name) for name in (*PACKAGES, "rungraph")}}


def describe_misfit(ours: Versions, theirs: Versions) -> str:
    """Return a text that says how `theirs` differ from `ours`, or an empty string. Compare only the names in `ours`."""
    different = [name for name in ours if ours[name] != theirs.get(name)]
    return "; ".join(
        f"it has {_named(name, theirs.get(name))}, and this server has {_named(name, ours[name])}" for name in different
    )


def _named(name: str, found: str | None) -> str:
    title = {"python": "Python", "dask": "Dask", "rungraph": "Rungraph"}.get(name, name)
    return f"no {title}" if found is None else f"{title} {found}"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
