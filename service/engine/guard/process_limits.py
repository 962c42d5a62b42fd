"""Restore the limits and the user of the process if a tool has changed them."""

from __future__ import annotations

import os
import resource

_LIMITS = (
    resource.RLIMIT_AS,
    resource.RLIMIT_CPU,
    resource.RLIMIT_DATA,
    resource.RLIMIT_FSIZE,
    resource.RLIMIT_NOFILE,
    resource.RLIMIT_STACK,
)

_get, _set, _Error = resource.getrlimit, resource.setrlimit, (OSError, ValueError)
_user, _group, _become, _join = os.geteuid, os.getegid, os.seteuid, os.setegid


class ProcessCheck:
    """Restores the process's user and group, and soft limits that are lower than at the start.

    A call returns False if something could not be restored.
    """

    def __init__(self) -> None:
        self._before = {limit: _get(limit) for limit in _LIMITS}
        self._user, self._group = _user(), _group()

    def __call__(self) -> bool:
        is_well = self._has_user()
        for limit, before in self._before.items():
            if _is_lower(_get(limit)[0], before[0]):
                is_well = _put_back(limit, before) and is_well
        return is_well

    def _has_user(self) -> bool:
        """Restore the user and the group that the process had at its start. Return False if that fails."""
        try:
            if _user() != self._user:
                _become(self._user)
            if _group() != self._group:
                _join(self._group)
        except _Error:
            return False
        return True


def _is_lower(soft: int, before: int) -> bool:
    return soft != before and soft != resource.RLIM_INFINITY and (before == resource.RLIM_INFINITY or soft < before)


def _put_back(limit: int, before: tuple[int, int]) -> bool:
    """Restore a limit. Return whether the soft limit was restored.

    The hard limit may stay lowered, because only a privileged process may raise it.
    """
    try:
        _set(limit, before)
    except _Error:
        try:
            _set(limit, (before[0], _get(limit)[1]))
        except _Error:
            return False
    return True
