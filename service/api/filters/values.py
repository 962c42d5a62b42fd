"""Make filters of runs from values that a client sends.

This module imports no framework, because that would slow the terminal down.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from service.api.limits import ID_PREFIX_CHARS_MIN
from service.core import codec
from service.core.errors import Fault, Invalid
from service.core.run import WaitKind
from service.core.syntax.ids import parse_graph_id, parse_run_id
from service.core.syntax.tags import tag_of
from service.core.transitions import Status
from service.store.queries.runs.filter import RunFilter

NO_PARENT = "none"
ID_PREFIX_PATTERN = f"[0-9a-f-]{{{ID_PREFIX_CHARS_MIN},36}}"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A time outside these bounds is replaced by the nearer bound, because an offset may move a time out of the years that
# Python and the database can represent.
_TIME_US_MIN = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_TIME_US_MAX = (datetime(9999, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


def check_tag(text: str) -> str:
    if tag_of(text.removeprefix("!")) is None:
        raise ValueError(r"must be key:value, or !key:value to exclude; a colon within the key is written \:")
    codec.check(text)
    return text


def check_time(text: str) -> str:
    _time_us(text)
    return text


def check_id_prefix(text: str) -> str:
    if not re.fullmatch(ID_PREFIX_PATTERN, text):
        raise ValueError(f"must be the first characters of an id, at least {ID_PREFIX_CHARS_MIN}: digits, a to f and -")
    return text


def _check_wait_kind(text: str) -> None:
    if text not in list(WaitKind):
        raise ValueError(f"must be one of {' '.join(WaitKind)}")


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "status": lambda statuses: list(map(Status, statuses)),
    "tag": lambda tags: list(map(check_tag, tags)),
    "graph": codec.check,
    "waiting_for": _check_wait_kind,
    "created_after": check_time,
    "created_before": check_time,
    "id_prefix": check_id_prefix,
}


def checked_filter(values: Mapping[str, Any], place: str) -> RunFilter:
    """Check `values`, which are arguments of `make_filter` by name, and make a filter of them.

    Raise Invalid with a pointer below the pointer `place` for each faulty value, and NotFound for a malformed id.
    """
    faults = []
    for name, check in _CHECKS.items():
        if name in values:
            try:
                check(values[name])
            except ValueError as error:
                faults.append(Fault(f"{place}/{name}", str(error)))
    if faults:
        raise Invalid(faults)
    return make_filter(**values)


def make_filter(
    *,
    status: Any = (),
    graph_id: str | None = None,
    graph: str | None = None,
    tag: Any = (),
    parent_id: str | None = None,
    forked_from: str | None = None,
    waiting_for: str | None = None,
    created_after: str | None = None,
    created_before: str | None = None,
    id_prefix: str | None = None,
) -> RunFilter:
    """Make a filter of checked values. Raise NotFound for malformed ids."""
    is_root = parent_id == NO_PARENT
    return RunFilter(
        statuses=tuple(dict.fromkeys(map(str, status))),
        graph_id=None if graph_id is None else parse_graph_id(graph_id),
        graph_name=graph,
        tags=tuple(text for text in tag if not text.startswith("!")),
        without_tags=tuple(text[1:] for text in tag if text.startswith("!")),
        parent_id=None if parent_id is None or is_root else parse_run_id(parent_id),
        is_child=False if is_root else None,
        forked_from=None if forked_from is None else parse_run_id(forked_from),
        waiting_for=None if waiting_for is None else WaitKind(waiting_for),
        created_after_us=None if created_after is None else _time_us(created_after),
        created_before_us=None if created_before is None else _time_us(created_before),
        id_prefix=id_prefix,
    )


def _time_us(text: str) -> int:
    """Return a time in ISO 8601 as microseconds since 1970. A time without an offset is in UTC.

    Raise ValueError if `text` is not such a time.
    """
    try:
        time = datetime.fromisoformat(text)
        time = time if time.tzinfo else time.replace(tzinfo=UTC)
        return max(_TIME_US_MIN, min((time - _EPOCH) // timedelta(microseconds=1), _TIME_US_MAX))
    except (ValueError, OverflowError) as error:
        raise ValueError("must be a time in ISO 8601, such as 2030-01-31T09:30:00Z") from error
