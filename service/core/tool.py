"""What a tool is: a registered function that maps a run's state to the next one.

Pure description; `tools/` collects them, `engine/attempt.py` calls them.
"""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple, Protocol

from service.core import codec, traces
from service.core.signature import code_of, is_async, parameters_of

JsonObject = dict[str, Any]

DESCRIPTION_CHARS_MAX = 16 * 1024
"""A longer docstring is cut."""
_NAMES_SHOWN_MAX = 20


class Context(Protocol):
    """What an attempt tells its tool about itself."""

    @property
    def run_id(self) -> str: ...
    @property
    def step(self) -> int:
        """The step that this attempt would commit, from 1."""

    @property
    def attempt(self) -> int:
        """Which try of that step this is, from 1."""

    @property
    def node(self) -> str: ...
    @property
    def idempotency_key(self) -> str:
        """`RUN_ID:STEP`: the same for every attempt of a step; hand it to the outside world."""

    @property
    def folder(self) -> Path:
        """A directory of the run's own, made on first use; it outlives the run."""

    def log(self, message: str, /, **data: Any) -> None:
        """Add a line to the run's log. Never raises; it can be read within a second."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function under the name by which graphs call it."""

    name: str
    function: Callable[..., Any]
    description: str
    parameters: tuple[str, ...]
    """The names among `signature.ARGUMENTS` that the function takes, in its own order."""
    is_async: bool
    place: str = ""
    """Where its code is: `file:line`; empty where Python does not know."""
    folder: str = ""
    """Where its author's code is, as the beginning of a path."""

    @classmethod
    def of(cls, function: Callable[..., Any], name: str | None = None) -> Tool:
        """Describe `function`; TypeError where the engine could not call it by name."""
        if isinstance(function, str):
            raise TypeError(f"a tool's name is given as @tool(name={function!r})")
        if not callable(function):
            raise TypeError(f"{_repr(function)} is no function; @tool stands directly above a function, or outermost")
        name = _name(function, name)
        try:
            code = code_of(function)
            return cls(
                name=name,
                function=function,
                description=_description(function),
                parameters=parameters_of(function),
                is_async=is_async(function),
                place=traces.place_of(code) if code else "",
                folder=_folder(code.co_filename) if code else "",
            )
        except TypeError as error:
            raise TypeError(f"tool {name!r:.200} {error}") from error
        except Exception as error:  # An attribute that raises, a wrapper that wraps itself.
            raise TypeError(f"tool {name!r:.200} cannot be read: {traces.describe(error)}") from error


class Source(NamedTuple):
    """What a user named with `--tools`, and what came of it."""

    name: str
    module: ModuleType
    tools: int
    """How many tools its import declared."""


class Tools(Mapping[str, Tool]):
    """The tools of a server by name, and where they came from."""

    def __init__(self, tools: Mapping[str, Tool], sources: Collection[Source] = ()) -> None:
        self._tools = dict(tools)
        self.sources = tuple(sources)

    def __getitem__(self, name: str) -> Tool:
        return self._tools[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tools)

    def __len__(self) -> int:
        return len(self._tools)

    def why_missing(self, name: str) -> str:
        """What a user who misses the tool `name` may have forgotten, as the end of a sentence."""
        for source in self.sources:
            if isinstance(found := vars(source.module).get(name), FunctionType):
                declared = [tool.name for tool in self._tools.values() if tool.function is found]
                if declared:
                    return f"; {source.name} registers that function as {declared[0]!r:.200}"
                return f"; {source.name} has a function of that name without @tool"
        if not self.sources:
            return "; no tools were loaded: name their file in --tools or RUNGRAPH_TOOLS"
        empty = [source.name for source in self.sources if not source.tools]
        if empty:
            return f"; {_listed(empty)} registers none: is @tool missing?"
        return f"; loaded: {_listed([f'{source.name} ({source.tools})' for source in self.sources])}"


def missing(name: str, tools: Mapping[str, Tool]) -> str:
    """What is said of a run that needs a tool which this server lacks."""
    match = difflib.get_close_matches(name[:100], list(tools), n=1)
    closest = f"; did you mean {match[0]!r}?" if match else ""
    hint = tools.why_missing(name) if isinstance(tools, Tools) else ""
    return f"no tool {name!r:.200} is registered on this server{closest}{hint}; registered: {_listed(sorted(tools))}"


def _name(function: Callable[..., Any], name: str | None) -> str:
    if name is None and not (name := getattr(function, "__name__", None)):
        raise TypeError(f"{_repr(function)} has no name of its own: give it one, @tool(name=…)")
    if not isinstance(name, str):
        raise TypeError(f"a tool's name is a string, and not {name!r:.100}")
    if not name:
        raise TypeError("a tool's name is not empty")
    try:
        codec.check(name)
    except codec.ValueUnfit as unfit:
        raise TypeError(f"the tool's name {name!r:.100} cannot be one: {unfit.message}") from unfit
    return str.__str__(name)


def _description(function: Any) -> str:
    while isinstance(function, functools.partial):  # Or it would be that of functools.partial.
        function = function.func
    text = (inspect.getdoc(function) or "")[:DESCRIPTION_CHARS_MAX]
    try:
        codec.check(text)
    except codec.ValueUnfit as unfit:
        raise TypeError(f"has a docstring that is no text: {unfit.message}") from unfit
    return str.__str__(text)


def _folder(file: str) -> str:
    folder = str(Path(file).parent)
    return file if folder.endswith("-packages") else folder + "/"


def _repr(value: Any) -> str:
    try:
        return f"{value!r:.100}"
    except Exception:
        return f"a {type(value).__name__}"


def _listed(names: Collection[str]) -> str:
    shown = [f"{name:.100}" for name in list(names)[:_NAMES_SHOWN_MAX]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "") or "none"
