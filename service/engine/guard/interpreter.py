"""Settings of the interpreter that are everybody's, and that a tool may change for itself.

What can be told apart by thread (trace and profile functions) is put back after each attempt. What is the whole
process's is never left worse than the server needs it.
"""

from __future__ import annotations

import builtins
import sys

RECURSION_LIMIT_MIN = min(sys.getrecursionlimit(), 1000)
"""Frames that a server may need; Python's default, unless it was started with less."""

_set_recursion_limit = sys.setrecursionlimit
_switch_interval_s = sys.getswitchinterval()


def install() -> None:
    """Refuse a recursion limit with which the server could answer nobody; again is as good as once."""
    sys.setrecursionlimit = set_recursion_limit


def set_recursion_limit(limit: int, /) -> None:
    """`sys.setrecursionlimit`, which raises RecursionError where a limit is too low to go on with."""
    if limit < RECURSION_LIMIT_MIN:
        raise RecursionError(
            f"cannot set the recursion limit to {limit}: it is the whole server's, which needs {RECURSION_LIMIT_MIN};"
            " a node with isolate: true has a process of its own"
        )
    _set_recursion_limit(limit)


def put_back() -> None:
    """Undo what reached the interpreter in another way. Called every now and then."""
    if sys.getrecursionlimit() < RECURSION_LIMIT_MIN:
        _set_recursion_limit(RECURSION_LIMIT_MIN)
    if sys.getswitchinterval() > _switch_interval_s:
        sys.setswitchinterval(_switch_interval_s)


def has_builtins() -> bool:
    """Whether each builtin is there, or something of its kind: a library may wrap a function, or derive a class.

    Uses no name that a tool can have taken away.
    """
    for name, given in _given:
        now = _get_now(name, _gone)
        if now is given or (_callable(now) and (not _isinstance(given, _type) or _isinstance(now, _type))):
            continue
        if now is _gone or _callable(given):
            return False
    return True


_gone = object()
_get_now, _callable, _isinstance, _type = vars(builtins).get, callable, isinstance, type
_given = tuple(vars(builtins).items())


class Tracing:
    """The trace and profile functions of this thread, for a while in a tool's hands."""

    __slots__ = ("_profile", "_trace")

    def __init__(self) -> None:
        self._trace, self._profile = sys.gettrace(), sys.getprofile()

    def put_back(self) -> None:
        if sys.gettrace() is not self._trace:
            sys.settrace(self._trace)
        if sys.getprofile() is not self._profile:
            sys.setprofile(self._profile)
