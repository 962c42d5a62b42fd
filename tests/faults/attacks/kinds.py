"""All attacks by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType

from tests.faults.attacks import bodies, floods, graphs, heads, operations, readers, sockets, states
from tests.faults.attacks.clients import Target

Attack = Callable[[Target], None]


def _public(*modules: ModuleType) -> dict[str, Attack]:
    """Return the functions that the modules define."""
    return {
        name: found
        for module in modules
        for name, found in vars(module).items()
        if getattr(found, "__module__", "") == module.__name__ and callable(found) and name.islower() and name[0] != "_"
    }


ATTACKS: Mapping[str, Attack] = _public(heads, bodies, sockets, readers, graphs, states, floods, operations)
WITH_TOKEN = frozenset(
    {"header_lines", "endless_header", "endless_url", "idle_connections", "wrong_tokens", "wrong_sessions"}
)
"""Attacks on a server that has a token, which the attacker lacks."""
