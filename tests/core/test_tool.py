"""What can be a tool, known without calling it, and what is said of one that is missing."""

# ruff: noqa: ARG001, ARG002, ARG005  # What these functions take is what is tested, and none does anything.

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from service.core.errors import Invalid
from service.core.tool import DESCRIPTION_CHARS_MAX, Source, Tool, Tools, describe_missing
from service.core.validation import read_graph


def plain(state: Any) -> None:
    """Plain."""


async def awaited(state: Any) -> None:
    """Awaited."""


class Calls:
    def plain(self, state: Any) -> None: ...

    async def awaited(self, state: Any) -> None: ...

    @classmethod
    def of_class(cls, state: Any) -> None: ...

    @staticmethod
    def static(state: Any) -> None: ...

    @staticmethod
    async def static_awaited(state: Any) -> None: ...


class Callable_:
    def __call__(self, state: Any) -> None: ...


class AsyncCallable:
    async def __call__(self, state: Any) -> None: ...


def wrapping(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def documented(doc: Any) -> Callable[..., Any]:
    def tool(state: Any) -> None: ...

    tool.__doc__ = doc
    return tool


def signed(signature: Any) -> Callable[..., Any]:
    def tool(state: Any) -> None: ...

    tool.__signature__ = signature  # type: ignore[attr-defined]
    return tool


@pytest.mark.parametrize(
    ("function", "is_async"),
    [
        (plain, False),
        (awaited, True),
        (Calls().plain, False),
        (Calls().awaited, True),
        (Calls.of_class, False),
        (Calls.static, False),
        (Calls.__dict__["static"], False),
        (Calls.__dict__["static_awaited"], True),
        (Callable_(), False),
        (AsyncCallable(), True),
        (functools.partial(plain), False),
        (functools.partial(awaited), True),
        (functools.partial(AsyncCallable()), True),
        (wrapping(plain), False),
        (wrapping(awaited), False),
        (lambda *, state: None, False),
        (lambda state, *args, **kwargs: None, False),
        (lambda other=1, /, state=None: None, False),
    ],
)
def test_what_can_be_called_by_name_is_a_tool(function: Callable[..., Any], is_async: bool) -> None:
    made = Tool.of(function, "name")
    assert (made.parameters, made.is_async) == (("state",), is_async)
    assert "test_tool.py:" in made.place


def generates(state: Any) -> Iterator[int]:
    yield 1


async def generates_async(state: Any) -> AsyncIterator[int]:
    yield 1


class Generates:
    def __call__(self, state: Any) -> Iterator[int]:
        yield 1


@functools.singledispatch
def dispatched(state: Any) -> None: ...


@functools.wraps(plain)
def says_more_than_it_takes() -> None: ...


class Raising:
    def __call__(self) -> None: ...

    @property
    def __wrapped__(self) -> Any:
        raise LookupError("no such thing")


REFUSED: list[tuple[Any, str]] = [
    ("add", "@tool(name='add')"),
    (5, "5 is not a function"),
    (Calls.__dict__["of_class"], "is not a function"),
    (property(plain), "is not a function"),
    (Calls, "is a class; a tool must be a function"),
    (dict, "is a class"),
    (Calls.plain, "takes 'self'"),
    (generates, "is a generator"),
    (generates_async, "is a generator"),
    (Generates(), "is a generator"),
    (functools.partial(generates), "is a generator"),
    (lambda state, /: None, "takes 'state' by position only"),
    (lambda state=None, /: None, "takes 'state' by position only"),
    (lambda contxt: None, "takes 'contxt' (did you mean 'context'?); a tool may take state, metadata, context"),
    (lambda *, other: None, "takes 'other'; a tool may take"),
    (lambda **kwargs: None, "takes **kwargs and none of state, metadata, context by name"),
    (lambda *args, **kwargs: None, "takes *args and **kwargs and none of"),
    (lambda *state: None, "takes *state and none of"),
    (max, "has no readable signature"),
    (print, "takes *args"),
    (signed("broken"), "has no readable signature"),
    (signed(inspect.signature(lambda: None)), "has a signature that takes nothing, but its code does not"),
    (says_more_than_it_takes, "has a signature that takes state, but its code does not"),
    (dispatched, "functools.singledispatch"),
    (functools.lru_cache(plain), "is a cached function"),
    (functools.cache(plain), "is a cached function"),
    (documented("no \ud800"), "has an invalid docstring: a string contains a lone surrogate"),
    (documented("no \0"), "has an invalid docstring: a string contains NUL"),
    (Raising(), "LookupError: no such thing"),
]


@pytest.mark.parametrize(("function", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_cannot_be_called_is_refused_and_says_why(function: Any, said: str) -> None:
    with pytest.raises(TypeError) as refused:
        Tool.of(function, "name" if callable(function) else None)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (5, "a tool's name must be a string, not 5"),
        (b"add", "a tool's name must be a string, not b'add'"),
        ("", "a tool's name must not be empty"),
        ("a\0", "NUL"),
        ("a\ud800", "lone surrogate"),
    ],
)
def test_a_name_is_text_that_a_graph_can_hold(name: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        Tool.of(plain, name)


def test_what_has_no_name_of_its_own_is_given_one() -> None:
    with pytest.raises(TypeError, match=r"give it one with @tool\(name="):
        Tool.of(functools.partial(plain))
    assert Tool.of(functools.partial(plain), "named").name == "named"


def test_a_description_is_the_docstring_within_bounds() -> None:
    assert Tool.of(functools.partial(plain), "name").description == "Plain."
    assert Tool.of(wrapping(awaited)).description == "Awaited."
    assert Tool.of(documented(5)).description == ""
    assert Tool.of(documented("x" * 10 * 2**20)).description == "x" * DESCRIPTION_CHARS_MAX


def source(name: str, tools: int, **functions: Any) -> Source:
    module = ModuleType(name)
    vars(module).update(functions)
    return Source(f"{name}.py", module, tools)


@pytest.mark.parametrize(
    ("name", "sources", "said"),
    [
        ("plan", [source("a", 1, plain=plain)], "; did you mean 'plain'?"),
        ("other", [source("a", 1), source("b", 0)], "; b.py registers no tool: is @tool missing?"),
        ("awaited", [source("a", 1, awaited=awaited)], "; a.py has a function of that name without @tool"),
        ("function", [source("a", 1, function=plain)], "; a.py registers that function as 'plain'"),
        ("other", [source("a", 1), source("b", 2)], "; loaded: a.py (1), b.py (2)"),
        ("other", [], "; no tools were loaded: name their file in --tools or RUNGRAPH_TOOLS"),
    ],
)
def test_a_missing_tool_is_explained(name: str, sources: list[Source], said: str) -> None:
    tools = Tools({"plain": Tool.of(plain)}, sources)
    with pytest.raises(Invalid) as refused:
        read_graph({"start_node": "a", "nodes": {"a": name}}, tools)
    assert [(each.pointer, each.message) for each in refused.value.faults] == [
        ("/nodes/a", f"no tool {name!r} is registered{said}")
    ]
    assert describe_missing(name, tools).startswith(f"no tool {name!r} is registered on this server; ")
    assert describe_missing(name, tools).endswith("; registered: plain")


async def test_coroutines_of_wrappers_stay_coroutines() -> None:
    """A wrapper is a plain tool: whoever calls it has something to await, or not."""
    assert await Tool.of(wrapping(awaited)).function(state={}) is None
