"""Suggest a known name for an unknown one, which may be misspelt or be what another system calls one of our fields."""

from __future__ import annotations

import difflib
import heapq
import re
from collections.abc import Collection

NAME_CHARS_MAX = 100
"""Longer names get no suggestion, since the cost of a comparison grows with the square of the length."""

COMPARED_MAX = 200
"""The most names to compare one name with: those nearest in length. One comparison takes up to a millisecond."""

FIELDS_LISTED_MAX = 16
"""If an object has more fields than this, a hint does not list them."""

_CALLED: dict[str, str] = {
    "initial_state": "state input inputs initial data payload params parameters arguments args variables vars context",
    "graph_id": "graph id workflow workflow_id flow flow_id",
    "tags": "label labels annotations metadata meta",
    "patch": "state changes update updates set merge data",
    "step": "at from number",
    "node": "start start_node current_node at from",
    "max_steps": "limit budget max_iterations",
    "status": "state",
    "limit": "count size page_size per_page max top n take",
    "cursor": "next page offset after from page_token skip",
    "after_seq": "since offset after from cursor last_event_id",
    "after_step": "since offset after from cursor",
    "runs": "filter filters where",
    "dataset": "data source file",
    "rows": "records table items",
    "start_node": "entry entrypoint initial first begin root",
    "nodes": "node steps tasks stages states vertices",
    "edges": "transitions links connections next",
    "to": "target next goto dest destination then",
    "condition": "when if guard predicate expression",
    "on_error": "catch except error errors on_failure",
    "into": "output result result_path as",
    "tool": "function task action call uses type handler",
    "metadata": "params parameters config arguments args options input with",
    "signal": "event wait wait_for",
    "sleep": "wait delay seconds duration pause",
    "until": "at time timestamp",
    "graph": "subgraph child workflow graph_name",
    "graphs": "parallel branches subgraphs children workflows",
    "for_each": "map items each over iterate",
    "input": "keys pass",
    "max_parallel": "concurrency parallelism max_concurrency",
    "retry": "retries",
    "max_attempts": "tries count max_retries retries",
    "backoff_s": "delay interval wait",
    "backoff_rate": "multiplier factor exponent",
    "op": "operator comparator comparison",
    "value": "right equals literal than",
    "key": "path field left name",
    "isolate": "sandbox process",
    "on": "where place executor runs_on worker cluster",
    "resources": "requests needs gpus",
    "pure": "idempotent deterministic side_effects",
    "all": "and all_of every",
    "any": "or any_of some",
    "not": "negate no",
    "notify": "webhook webhooks callback callbacks hook",
    "url": "uri href address endpoint",
    "where": "filter filters runs which",
    "action": "do verb command operation",
    "every_s": "every interval seconds period",
    "cron": "crontab expression",
    "timezone": "tz zone",
    "max": "limit count concurrency max_parallel max_concurrency rate size slots",
    "per_s": "window interval seconds",
}
"""Names that other systems use for our fields."""


_OPS_CALLED: dict[str, str] = {
    "==": "= === eq equal equals is",
    "!=": "!== <> ne neq not_equal not_equals is_not",
    ">": "gt greater more above",
    ">=": "=> ge gte",
    "<": "lt less below",
    "<=": "=< le lte",
    "in": "one_of",
    "not_in": "notin nin",
    "contains": "include includes has",
    "exists": "exist present defined has_key",
    "is_type": "type typeof type_of isinstance",
}
"""Names that other systems use for the operators of conditions."""


def closest(name: str, known: Collection[str]) -> str:
    """Return a hint at the name in `known` that resembles `name`, or an empty string."""
    name = name[:NAME_CHARS_MAX]
    near = heapq.nsmallest(COMPARED_MAX, known, key=lambda other: abs(len(other) - len(name)))
    match = [other for other in near if other.lower() == name.lower()] or difflib.get_close_matches(name, near, n=1)
    return _hint(match[0]) if match else ""


def closest_field(field: str, known: Collection[str]) -> str:
    """Return a hint at the field in `known` that was meant, or an empty string."""
    if len(field) > NAME_CHARS_MAX:
        return ""
    plain, words = _plain(field), _words(field)
    candidates = (
        [other for other in known if _plain(other) == plain],
        [other for other in known if plain in map(_plain, _CALLED.get(other, "").split())],
        [other for other in known if words and words <= _words(other)],
    )
    for found in candidates:
        if len(found) == 1:
            return _hint(found[0])
    return closest(field, known)


def fields_hint(known: Collection[str]) -> str:
    """Return a hint that lists the fields in `known`, or an empty string if there are none or too many to list."""
    names = [f"`{name}`" for name in known]
    if len(names) == 1:
        return f"; its only field is {names[0]}"
    return f"; its fields are {', '.join(names)}" if 0 < len(names) <= FIELDS_LISTED_MAX else ""


def closest_op(op: str) -> str:
    """Return a hint at the operator that was meant, or an empty string."""
    plain = re.sub(r"[\s-]+", "_", op[:NAME_CHARS_MAX].strip().lower())
    found = [known for known, called in _OPS_CALLED.items() if plain == known or plain in called.split()]
    return _hint(found[0]) if found else closest(op, _OPS_CALLED)


def _hint(name: str) -> str:
    return f"; did you mean {name!r}?"


def _plain(field: str) -> str:
    """Return the name in lower case without separators, so that camelCase equals snake_case."""
    return re.sub(r"[\W_]", "", field).lower()


def _words(field: str) -> set[str]:
    return set(re.sub("([a-z])([A-Z])", r"\1_\2", field).lower().replace("-", "_").split("_")) - {""}
