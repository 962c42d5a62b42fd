"""The children of a graph node: which are to be started, with what state, and what their ends make together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from service.core import codec
from service.core.errors import StateInvalid
from service.core.graph import GraphNode
from service.core.moves import Gathered
from service.core.path import MISSING
from service.core.run import Child, Run
from service.core.state import Entry, State

CHILDREN_MAX = 10_000
"""Of one node."""
DEPTH_MAX = 32
"""Runs below one another."""
STARTS_MAX = 100
"""Children that one commit starts."""
STARTS_BYTES_MAX = 4 * 2**20
"""Of their states together, beyond the first child's: nobody else writes meanwhile."""


class Starts(NamedTuple):
    """Children to be started now."""

    starts: tuple[Child, ...]
    has_more: bool
    """Whether others are to follow at once."""
    open_max: int
    """With so many of them open, or fewer, there is something to do again."""


def count_of(state: State, node: GraphNode) -> int:
    """How many children `node` is to have; StateInvalid where the state does not say."""
    items = _items(state, node)
    return 1 if items is None else len(items)


def joined(node: GraphNode, states: Sequence[str]) -> str:
    """What the children's final `states` make together, as JSON text."""
    return states[0] if node.for_each is None else f"[{','.join(states)}]"


def starts(run: Run, node: GraphNode, gathered: Gathered) -> Starts:
    """Which children are to be started while those that were are as `gathered` says.

    StateInvalid where the state does not have what the node asks of it.
    """
    items = _items(run.state, node)
    total = 1 if items is None else len(items)
    if run.depth >= DEPTH_MAX:
        raise StateInvalid(f"children nest at most {DEPTH_MAX} deep")
    room = total if node.max_parallel is None else node.max_parallel - gathered.open
    wanted = min(total - gathered.started, room)
    made: list[Child] = []
    length = 0
    while len(made) < min(wanted, STARTS_MAX) and length < STARTS_BYTES_MAX:
        made.append(child := _child(run.state, node, gathered.started + len(made), items))
        length += sum(entry.byte_length for entry in child.state.entries.values())
    is_last = gathered.started + wanted == total
    return Starts(tuple(made), len(made) < wanted, 0 if is_last else gathered.open + wanted - 1)


def _items(state: State, node: GraphNode) -> list[Any] | None:
    if node.for_each is None:
        return None
    items, there = state.look_up(node.for_each)
    if items is MISSING:
        raise StateInvalid(f"the state has nothing at {node.for_each!r:.200}; there is {there}")
    if not isinstance(items, list):
        raise StateInvalid(f"{node.for_each!r:.200} holds no array")
    if len(items) > CHILDREN_MAX:
        raise StateInvalid(
            f"{node.for_each!r:.200} has {len(items)} elements; a node has at most {CHILDREN_MAX} children"
        )
    return items


def _child(state: State, node: GraphNode, number: int, items: list[Any] | None) -> Child:
    keys = list(state.entries) if node.input is None and items is None else list(node.input or ())
    if missing := [key for key in keys if key not in state.entries]:
        raise StateInvalid(f"`input` names {missing[0]!r:.200}, which the state does not have")
    texts = {key: state.entries[key].text for key in keys}
    if items is not None:
        texts |= {"item": codec.encode(items[number]), "index": codec.encode(number)}
    entries = {
        key: Entry(text, position, codec.byte_length(text)) for position, (key, text) in enumerate(texts.items())
    }
    return Child(number, node.graph, State(entries))
