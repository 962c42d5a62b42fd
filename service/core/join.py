"""The children of a graph node: which of them to start, with which state, and how to join their results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from service.core import codec
from service.core.errors import StateInvalid
from service.core.graph import GraphNode
from service.core.moves import Gathered
from service.core.run import Child, Run
from service.core.state import Entry, State
from service.core.syntax.ids import derived_run_id
from service.core.syntax.path import MISSING

CHILDREN_MAX = 10_000
"""The most children of one node."""
DEPTH_MAX = 32
"""The most ancestors that a run may have."""
STARTS_MAX = 100
"""The most children that one commit may start."""
STARTS_BYTES_MAX = 4 * 2**20
"""A commit starts no more children after this many bytes of unshared values, since other writes wait for the commit."""
SHARED_BYTES_MIN = 1024
"""A value of the parent's state with at least this many bytes is stored once for all children that get it."""


class Starts(NamedTuple):
    """Children to start now."""

    starts: tuple[Child, ...]
    has_more: bool
    """Whether the next commit has to start more children."""
    open_max: int
    """Wake the parent when at most this many children are unfinished."""


def count_children(state: State, node: GraphNode) -> int:
    """Return how many children `node` has. Raise StateInvalid if `for_each` leads to no array, or to one too long."""
    return _count(node, _items(state, node))


def _count(node: GraphNode, items: list[Any] | None) -> int:
    if items is not None:
        return len(items)
    return 1 if node.graphs is None else len(node.graphs)


def join_states(node: GraphNode, states: Sequence[str]) -> str:
    """Return the JSON text to store at the key `into`, made of the final `states` of the children in order.

    It is an object by name for `graphs`, an array for `for_each`, and otherwise the state of the only child.
    """
    if node.graphs is not None:
        members = zip(node.branches, states, strict=True)
        return "{" + ",".join(f"{codec.encode(name)}:{state}" for (name, _), state in members) + "}"
    return states[0] if node.for_each is None else f"[{','.join(states)}]"


def plan_starts(run: Run, node: GraphNode, gathered: Gathered) -> Starts:
    """Return the children to start now. `gathered` is the progress of those that the attempt has already started.

    Raise StateInvalid if the state lacks what the node reads, or if the children would have too many ancestors.
    """
    items = _items(run.state, node)
    total = _count(node, items)
    if run.depth >= DEPTH_MAX:
        raise StateInvalid(f"children nest at most {DEPTH_MAX} deep")
    room = total if node.max_parallel is None else node.max_parallel - gathered.open
    wanted = min(total - gathered.started, room)
    made: list[Child] = []
    length = 0
    while len(made) < min(wanted, STARTS_MAX) and length < STARTS_BYTES_MAX:
        made.append(child := _child(run.state, node, gathered.started + len(made), items))
        length += _unshared_bytes(child)
    is_last = gathered.started + wanted == total
    return Starts(tuple(made), len(made) < wanted, 0 if is_last else gathered.open + wanted - 1)


def _items(state: State, node: GraphNode) -> list[Any] | None:
    if node.for_each is None:
        return None
    items, there = state.look_up(node.for_each)
    if items is MISSING:
        raise StateInvalid(f"the state has nothing at {node.for_each!r:.200}; there is {there}")
    if not isinstance(items, list):
        raise StateInvalid(f"the value at {node.for_each!r:.200} is not an array")
    if len(items) > CHILDREN_MAX:
        raise StateInvalid(
            f"{node.for_each!r:.200} has {len(items)} elements; a node has at most {CHILDREN_MAX} children"
        )
    return items


def _child(state: State, node: GraphNode, number: int, items: list[Any] | None) -> Child:
    keys = list(state.entries) if node.input is None and items is None else list(node.input or ())
    if missing := [key for key in keys if key not in state.entries]:
        raise StateInvalid(f"`input` names the key {missing[0]!r:.200}, which the state lacks")
    texts = {key: state.entries[key].text for key in keys}
    if items is not None:
        texts |= {"item": codec.encode(items[number]), "index": codec.encode(number)}
    inputs = frozenset(key for key in keys if items is None or key not in ("item", "index"))
    entries = {
        key: Entry(text, position, codec.byte_length(text)) for position, (key, text) in enumerate(texts.items())
    }
    graph_id = node.branches[number][1] if node.graph is None else node.graph
    return Child(number, graph_id, State(entries), inputs)


def child_id(parent_id: str, step: int, attempt: int, number: int) -> str:
    """Return the id of a child: a UUID of version 7, made of the time in its parent's id and a digest of the arguments.

    The same child always gets the same id, so that it is not started twice.
    """
    return derived_run_id(parent_id[:13], parent_id, step, attempt, number)


def _unshared_bytes(child: Child) -> int:
    entries = child.state.entries.items()
    return sum(
        entry.byte_length for key, entry in entries if key not in child.inputs or entry.byte_length < SHARED_BYTES_MIN
    )
