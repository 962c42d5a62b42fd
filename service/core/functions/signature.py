"""Check whether a function can be called as a tool: by name, with any of `state`, `metadata` and `context`.

The checks run when the tool is declared, so that a server does not start with a tool that cannot be called.
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
"""The arguments that a tool may take. A call passes those that are among the names of the tool's parameters."""

_LAYERS_MAX = 100
"""The most partials, methods and callable objects that are unwrapped to find a function."""
_STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def parameters_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names in ARGUMENTS that the function takes, in the order of its parameters.

    Raise TypeError if no call can succeed.
    """
    if isinstance(function, type):
        raise TypeError("is a class; a tool must be a function")
    called = called_by(function)
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        raise TypeError("is a generator; a tool must return a dict or None")
    if callable(getattr(function, "dispatch", None)) and hasattr(function, "registry"):
        raise TypeError("is a functools.singledispatch function, which takes no argument by name")
    given = _signature(function).parameters.values()
    wanted = tuple(name for parameter in given if (name := _wanted(parameter)))
    if not wanted and any(parameter.kind in _STARRED for parameter in given):
        raise TypeError(
            f"takes {' and '.join(str(each) for each in given if each.kind in _STARRED)} and none of"
            f" {', '.join(ARGUMENTS)} by name; if it wraps another function, use functools.wraps"
        )
    if hasattr(function, "cache_parameters") and not {"state", "metadata"}.isdisjoint(wanted):
        raise TypeError("is a cached function (functools.lru_cache), but a state cannot be a key of a cache")
    _bind(function, wanted)
    return wanted


def is_async(function: Callable[..., Any]) -> bool:
    """Return whether a call only makes a coroutine, so that the function can be called on the event loop.

    Return False for a plain function that wraps an async one: only the call shows that it returns an awaitable.
    """
    return inspect.iscoroutinefunction(called_by(function))


def called_by(function: Any) -> Any:
    """Return the function behind partials, methods and objects with a `__call__` method."""
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
    """Return the code of the author's function, even behind decorators that use functools.wraps, or None."""
    code = getattr(called_by(inspect.unwrap(called_by(function))), "__code__", None)
    return code if isinstance(code, CodeType) else None


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        if sys.version_info >= (3, 14):  # This evaluates the annotations. The format allows undefined names in them.
            return inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF)
        return inspect.signature(function)
    except Exception as error:  # `__signature__` may be anything.
        raise TypeError(f"has no readable signature ({type(error).__name__}: {error})") from error


def _wanted(parameter: inspect.Parameter) -> str | None:
    """Return the name of `parameter` if it is in ARGUMENTS, or None if a call may omit the parameter.

    Raise TypeError if a call by name cannot provide the parameter.
    """
    takes = f"a tool may take {', '.join(ARGUMENTS)}, by name"
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
    """Raise TypeError if the function's own code cannot be called with the arguments `wanted`.

    The function's signature takes them, but `__signature__` or `__wrapped__` may have replaced the signature.
    """
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
        raise TypeError(f"has a signature that takes {says}, but its code does not: {error}") from error
