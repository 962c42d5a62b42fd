"""What a tool is: a registered function that maps a run's state to the next one.

Pure description; `tools/` collects them, `engine/attempt.py` calls them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

JsonObject = dict[str, Any]

ARGUMENTS = ("state", "metadata", "context")
"""The parameter names that a tool may ask for; it is handed the ones it names."""


class Context(Protocol):
    """What an attempt tells its tool about itself."""

    @property
    def run_id(self) -> str: ...
    @property
    def step(self) -> int:
        """The step that this attempt would commit, from 1."""

    @property
    def attempt(self) -> int:
        """Which try of that step this is, from 1."""

    @property
    def node(self) -> str: ...
    @property
    def idempotency_key(self) -> str:
        """`RUN_ID:STEP`: the same for every attempt of a step; hand it to the outside world."""

    @property
    def folder(self) -> Path:
        """A directory of the run's own, made on first use; it outlives the run."""

    def log(self, message: str, /, **data: Any) -> None:
        """Add a line to the run's log. Never raises; it can be read within a second."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function under the name by which graphs call it."""

    name: str
    function: Callable[..., Any]
    description: str
    parameters: tuple[str, ...]
    """The names among ARGUMENTS that the function takes, in its own order."""
    is_async: bool

    @classmethod
    def of(cls, function: Callable[..., Any], name: str | None = None) -> Tool:
        """Describe `function`; TypeError where the engine could not call it by name."""
        name = name or getattr(function, "__name__", "")
        if not name:
            raise TypeError(f"a tool needs a name: {function!r}")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"tool {name!r} is a generator; a tool returns a dict or None")
        return cls(
            name=name,
            function=function,
            description=inspect.getdoc(function) or "",
            parameters=tuple(_parameters(name, function)),
            is_async=inspect.iscoroutinefunction(function),
        )


def _parameters(name: str, function: Callable[..., Any]) -> list[str]:
    wanted = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in ARGUMENTS and parameter.kind is not parameter.POSITIONAL_ONLY:
            wanted.append(parameter.name)
        elif parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            raise TypeError(
                f"tool {name!r} takes {parameter.name!r}; a tool takes any of {', '.join(ARGUMENTS)}, by name"
            )
    return wanted
