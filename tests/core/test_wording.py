"""Conditions in words."""

from __future__ import annotations

from typing import Any

import pytest

from service.core.routing.wording import condition_text
from service.core.validation import read_graph


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ({"key": "n", "op": "<", "value": 5}, "n < 5"),
        ({"key": "n", "op": "==", "value": "x"}, 'n = "x"'),
        ({"key": "n", "op": "!=", "value_from": "/m/0"}, "n ≠ /m/0"),
        ({"key": "n", "op": "not_in", "value": [1, 2]}, "n not in [1,2]"),
        ({"key": "n", "op": "is_type", "value": "array"}, "n has type array"),
        ({"key": "n", "op": "exists"}, "n exists"),
        ({"key": "n", "op": "exists", "value": False}, "n is missing"),
        ({"key": "n", "op": "==", "value": "x" * 30}, 'n = "' + "x" * 18 + "…"),
        ({"not": {"key": "n", "op": ">=", "value": 1.0}}, "not (n ≥ 1.0)"),
        (
            {"all": [{"key": "n", "op": "<", "value": 5}, {"any": [{"key": "a", "op": "exists"}]}]},
            "n < 5 and (a exists)",
        ),
    ],
)
def test_a_condition_in_words(condition: dict[str, Any], words: str) -> None:
    edges = {"a": {"to": "a", "condition": condition}}
    [edge] = read_graph({"start_node": "a", "nodes": {"a": {"sleep": 1}}, "edges": edges}, {}).edges["a"]
    assert edge.condition is not None
    assert condition_text(edge.condition) == words
