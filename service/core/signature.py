"""Whether a function can be called as a tool is: by name, with any of `state`, `metadata`, `context`.

What can be known without calling it is found here, so that a server does not start with a tool that cannot be called.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import sys
from collections.abc import Callable
from types import CodeType, FunctionType, MethodType
from typing import Any

if sys.version_info >= (3, 14):
    import annotationlib

ARGUMENTS = ("state", "metadata", "context")
"""The parameter names that a tool may ask for; it is handed the ones it names."""

_LAYERS_MAX = 100
"""Partials, methods and objects around a function that are looked through."""
_STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def parameters_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names among ARGUMENTS that the function takes, in its own order; TypeError where no call can succeed."""
    if isinstance(function, type):
        raise TypeError("is a class; a tool is a function")
    called = called_by(function)
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        raise TypeError("is a generator; a tool returns a dict or None")
    if callable(getattr(function, "dispatch", None)) and hasattr(function, "registry"):
        raise TypeError("is a functools.singledispatch function, which takes no argument by name")
    given = _signature(function).parameters.values()
    wanted = tuple(name for parameter in given if (name := _wanted(parameter)))
    if not wanted and any(parameter.kind in _STARRED for parameter in given):
        raise TypeError(
            f"takes {' and '.join(str(each) for each in given if each.kind in _STARRED)} and none of"
            f" {', '.join(ARGUMENTS)} by name; if it wraps another function, let it use functools.wraps"
        )
    if hasattr(function, "cache_parameters") and not {"state", "metadata"}.isdisjoint(wanted):
        raise TypeError("is a cached function (functools.lru_cache), and no cache can hold a state by its value")
    _bind(function, wanted)
    return wanted


def is_async(function: Callable[..., Any]) -> bool:
    """Whether a call makes a coroutine at once, so that it can be made on the loop.

    A plain function around an async one may run it by itself: what such a one returns is seen when it is called.
    """
    return inspect.iscoroutinefunction(called_by(function))


def called_by(function: Any) -> Any:
    """What a call of `function` calls: without partials, methods and objects that have a `__call__` of their own."""
    for _ in range(_LAYERS_MAX):
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, MethodType | staticmethod):
            function = function.__func__
        elif isinstance(inspect.getattr_static(type(function), "__call__", None), FunctionType):
            function = type(function).__call__
        else:
            break
    return function


def code_of(function: Callable[..., Any]) -> CodeType | None:
    """The code that the author of a tool wrote, also where decorators that use functools.wraps are around it."""
    code = getattr(called_by(inspect.unwrap(called_by(function))), "__code__", None)
    return code if isinstance(code, CodeType) else None


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        if sys.version_info >= (3, 14):  # Where they are evaluated late, annotations may name what is not there.
            return inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF)
        return inspect.signature(function)
    except Exception as error:  # Whatever stands in its `__signature__`.
        raise TypeError(f"has no signature that can be read ({type(error).__name__}: {error})") from error


def _wanted(parameter: inspect.Parameter) -> str | None:
    """The name of `parameter` if it is one of ours, None if it can be left out."""
    takes = f"a tool takes any of {', '.join(ARGUMENTS)}, by name"
    if parameter.name in ARGUMENTS and parameter.kind not in _STARRED:
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise TypeError(f"takes {parameter.name!r} by position only; {takes}")
        return parameter.name
    if parameter.default is parameter.empty and parameter.kind not in _STARRED:
        match = difflib.get_close_matches(parameter.name, ARGUMENTS, n=1)
        hint = f" (did you mean {match[0]!r}?)" if match else ""
        raise TypeError(f"takes {parameter.name!r}{hint}; {takes}")
    return None


def _bind(function: Callable[..., Any], wanted: tuple[str, ...]) -> None:
    """Refuse a function whose `__signature__` or `__wrapped__` names parameters that its code does not take."""
    if not isinstance(function, FunctionType):
        return
    bare = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    bare.__kwdefaults__ = function.__kwdefaults__
    try:
        _signature(bare).bind(**dict.fromkeys(wanted))
    except TypeError as error:
        says = ", ".join(wanted) or "nothing"
        raise TypeError(f"says that it takes {says}, and its own code does not: {error}") from error
