"""Tools that replace others in a simulation: functions, or results that are given beforehand."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from service import example
from service.core.tool import Tool
from service.tools import registry

Substitute = Callable[..., Any] | Mapping[str, Any] | Sequence[Any] | Exception | None
"""What replaces a tool: a function, a dict or None that each call returns, or an exception that each call raises.

A list has one dict, None or exception for each call. Its last item serves all further calls.
"""
GivenTools = Mapping[str, Substitute] | Iterable[Callable[..., Any] | str] | None


def tools_of(given: GivenTools) -> dict[str, Tool]:
    """Return the tools of a simulation: the declared tools, and the given tools, which replace those of the same name.

    Raise TypeError if a given tool cannot be a tool.
    """
    known = dict(registry.load((), built_in=example.TOOLS))
    if given is None:
        return known
    if isinstance(given, Mapping):
        return known | {name: Tool.of(_function_of(substitute), name) for name, substitute in given.items()}
    return known | dict(registry.collect(given, built_in=example.TOOLS))


def _function_of(substitute: Substitute) -> Callable[..., Any]:
    if callable(substitute):
        return substitute
    results = list(substitute) if isinstance(substitute, list | tuple) else [substitute]
    for result in results:
        if not (result is None or isinstance(result, Mapping | Exception)):
            raise TypeError(f"{result!r:.100} is neither a function, a dict, an exception nor None")
    if not results:
        raise TypeError("a list of results must not be empty")

    def canned() -> Any:
        """Return a result that was given beforehand."""
        result = results[0] if len(results) == 1 else results.pop(0)
        if isinstance(result, Exception):
            raise result
        return copy.deepcopy(None if result is None else dict(result))

    return canned
