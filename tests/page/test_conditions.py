"""The page evaluates conditions as the engine does, and what it proposes makes them true."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from playwright.sync_api import Page

from service.core import codec
from service.core.graph import Comparison, Edge, Op
from service.core.routing.conditions import decide
from service.core.routing.wording import condition_text
from service.core.state import State
from service.core.syntax.patch import merged
from service.core.validation import read_graph

NUMBERS = [0, -0.0, 1, 1.0, 1.5, 2**60, 2**60 + 1, float(2**60), 1e300]
TEXTS = ["", "a", "ab", "b", "\uffff", "\U0001f600"]
OTHERS: list[Any] = [True, False, None, [], [1], [1.0], ["a"], [[1]], {}, {"a": 1}, {"a": 1.0}, {"a": 1, "b": 2}]
OPS = ("==", "!=", ">", ">=", "<", "<=", "in", "not_in", "contains")

ASK = """async (source) => {
  const lib = (name) => import(new URL(`ui/lib/${name}.js`, document.baseURI));
  const [{ parse, text }, { evaluate }, { solve }] = await Promise.all(['json', 'conditions', 'solve'].map(lib));
  return parse(source).map(({ condition, state }) => {
    const found = solve([{ to: 'x', condition }, { to: null }], 0, state);
    return [evaluate(condition, state), found && text(found.patch)];
  });
}"""


WORDS = """async (source) => {
  const lib = (name) => import(new URL(`ui/lib/${name}.js`, document.baseURI));
  const [{ parse }, { conditionText }] = await Promise.all(['json', 'conditions'].map(lib));
  return parse(source).map((condition) => conditionText(condition));
}"""
CONDITIONS: list[dict[str, Any]] = [
    {"key": "n", "op": "<", "value": 5},
    {"key": "a.b", "op": "!=", "value_from": "/c/0"},
    {"key": "t", "op": "==", "value": "x" * 30},
    {"key": "t", "op": "in", "value": ["a", "ü"]},
    {"key": "t", "op": "is_type", "value": "array"},
    {"key": "t", "op": "exists", "value": False},
    {"key": "t", "op": "exists"},
    {"not": {"key": "n", "op": ">=", "value": 1.0}},
    {"all": [{"key": "n", "op": "<=", "value": None}, {"any": [{"key": "m", "op": "contains", "value": 2**60}]}]},
]


ASKED = """async ([condition, operands]) => {
  const { asked } = await import(new URL('ui/lib/conditions.js', document.baseURI));
  return asked(condition, operands).map(({ text, result }) => [text, result]);
}"""
N_IS_1, N_IS_2 = {"key": "n", "op": "==", "value": 1}, {"key": "n", "op": "==", "value": 2}
HAS_T = {"key": "t", "op": "exists"}


def is_true(op: str, state: dict[str, Any]) -> bool:
    edge = Edge(to="x", condition=Comparison(key="l", op=Op(op), value_from="r"))
    return decide((edge,), State.of(state, 10**6)).to == "x"


def test_the_page_evaluates_and_solves_as_the_engine_does(modules: Page) -> None:
    pairs = list(itertools.product([*NUMBERS, *TEXTS, *OTHERS], repeat=2))
    cases = [(op, {"l": left, "r": right}) for op in OPS for left, right in pairs]
    asked = [{"condition": {"key": "l", "op": op, "value_from": "r"}, "state": state} for op, state in cases]
    answers = modules.evaluate(ASK, codec.encode(asked))
    for (op, state), (result, patch) in zip(cases, answers, strict=True):
        assert result is is_true(op, state), (op, state)
        if patch is not None:
            assert is_true(op, merged(state, codec.loads(patch))), (op, state, patch)
    solved = sum(patch is not None for _, patch in answers)
    assert solved > len(cases) / 2


def test_the_page_has_the_words_of_the_flowchart(modules: Page) -> None:
    edges = [{"to": "a", "condition": condition} for condition in CONDITIONS]
    graph = read_graph({"start_node": "a", "nodes": {"a": {"sleep": 1}}, "edges": {"a": edges}}, {})
    words = [condition_text(edge.condition) for edge in graph.edges["a"] if edge.condition is not None]
    assert modules.evaluate(WORDS, codec.encode(CONDITIONS)) == words


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ({"all": [N_IS_2, HAS_T]}, [["1 = 2", False]]),
        ({"all": [N_IS_1, HAS_T]}, [["1 = 1", True], ["t missing", False]]),
        ({"any": [N_IS_1, HAS_T]}, [["1 = 1", True]]),
        ({"any": [{"not": N_IS_1}, HAS_T]}, [["1 = 1", True], ["t missing", False]]),
        ({"not": {"any": [{"all": [N_IS_2, HAS_T]}, N_IS_1]}}, [["1 = 2", False], ["1 = 1", True]]),
        (None, []),
    ],
)
def test_only_what_was_asked_is_shown(modules: Page, condition: Any, found: Any) -> None:
    assert modules.evaluate(ASKED, [condition, {"n": 1}]) == found
