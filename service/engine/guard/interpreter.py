"""Restore settings of the interpreter that a tool may change for the whole process.

Trace and profile functions, which belong to a thread, are restored after each attempt. The recursion limit, the maximum
number of digits of an integer's text and the switch interval belong to the process. They are kept within bounds that
the server needs.
"""

from __future__ import annotations

import builtins
import sys

from service.core.codec import INT_DIGITS_MAX

RECURSION_LIMIT_MIN = min(sys.getrecursionlimit(), 1000)
"""The recursion limit that a server needs: Python's default, or the limit at the start if that was lower."""

_set_recursion_limit = sys.setrecursionlimit
_set_int_digits = sys.set_int_max_str_digits
_switch_interval_s = sys.getswitchinterval()


def install() -> None:
    """Replace the functions of `sys` that set the recursion limit and the number of digits. It is idempotent."""
    sys.setrecursionlimit = set_recursion_limit
    sys.set_int_max_str_digits = set_int_max_str_digits


def set_recursion_limit(limit: int, /) -> None:
    """Set the recursion limit. Raise RecursionError if `limit` is too low for the server."""
    if limit < RECURSION_LIMIT_MIN:
        raise RecursionError(
            f"cannot set the recursion limit to {limit}: it holds for the whole server, which needs"
            f" {RECURSION_LIMIT_MIN}; a node with `isolate: true` has a process of its own"
        )
    _set_recursion_limit(limit)


def set_int_max_str_digits(maxdigits: int) -> None:
    """Set the maximum number of digits of an integer's text; 0 means no limit.

    Raise ValueError if an integer in a state may have more digits.
    """
    if 0 < maxdigits < INT_DIGITS_MAX:
        raise ValueError(
            f"cannot set the most digits of an integer's text to {maxdigits}: it holds for the whole server, which"
            f" needs {INT_DIGITS_MAX}; a node with `isolate: true` has a process of its own"
        )
    _set_int_digits(maxdigits)


def put_back() -> None:
    """Restore the settings of the process that a tool has set past the server's bounds without the functions above.

    The heartbeat calls this regularly.
    """
    if sys.getrecursionlimit() < RECURSION_LIMIT_MIN:
        _set_recursion_limit(RECURSION_LIMIT_MIN)
    if 0 < sys.get_int_max_str_digits() < INT_DIGITS_MAX:
        _set_int_digits(INT_DIGITS_MAX)
    if sys.getswitchinterval() > _switch_interval_s:
        sys.setswitchinterval(_switch_interval_s)


def has_builtins() -> bool:
    """Return whether each builtin still exists or has a replacement of its kind, such as a function that wraps it.

    This uses only names that are bound in this module, since a tool may have removed the builtins themselves.
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
    """The trace and profile functions that the current thread had before a tool ran. `put_back` restores them."""

    __slots__ = ("_profile", "_trace")

    def __init__(self) -> None:
        self._trace, self._profile = sys.gettrace(), sys.getprofile()

    def put_back(self) -> None:
        if sys.gettrace() is not self._trace:
            sys.settrace(self._trace)
        if sys.getprofile() is not self._profile:
            sys.setprofile(self._profile)
