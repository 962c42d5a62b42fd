"""Describe tools: registered functions that map a run's state to the next one.

`tools/registry.py` collects them, and `engine/call.py` calls them.
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
from service.core.functions.signature import code_of, is_async, parameters_of
from service.core.functions.typed import StateType, state_type_of
from service.core.queueing.limits import fault_of_name

JsonObject = dict[str, Any]

DESCRIPTION_CHARS_MAX = 16 * 1024
"""Longer docstrings are cut."""
_NAMES_SHOWN_MAX = 20


class Context(Protocol):
    """What a tool can learn about its attempt."""

    @property
    def run_id(self) -> str: ...
    @property
    def step(self) -> int:
        """The step that this attempt would commit, from 1."""

    @property
    def attempt(self) -> int:
        """The number of this attempt of the step, from 1."""

    @property
    def node(self) -> str: ...
    @property
    def idempotency_key(self) -> str:
        """`RUN_ID:STEP`, the same for every attempt of a step. Pass it to other systems to avoid doing a step twice."""

    @property
    def folder(self) -> Path:
        """The run's own directory. It is created on first use and stays when the run ends."""

    def log(self, message: str, /, **data: Any) -> None:
        """Add a line to the run's log. It never raises, and the line can be read within a second."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function and the name by which graphs call it."""

    name: str
    function: Callable[..., Any]
    description: str
    parameters: tuple[str, ...]
    """The names in `signature.ARGUMENTS` that the function takes, in the order of its parameters."""
    is_async: bool
    place: str = ""
    """Where the function is defined, as `file:line`; empty if unknown."""
    folder: str = ""
    """The prefix of the paths of all files that the tool's author wrote; empty if unknown."""
    is_pure: bool = False
    """Whether the tool is declared as pure: no harm is done by repeating a call, or by never using its result."""
    limit: str | None = None
    """The limit of which each attempt needs a slot, unless the node names another limit; None if the tool has none."""
    state_type: StateType | None = None
    """The declared type of its state, if it declares one."""

    @classmethod
    def of(
        cls, function: Callable[..., Any], name: str | None = None, *, pure: bool = False, limit: str | None = None
    ) -> Tool:
        """Describe `function`. Raise TypeError if the engine could not call it, or if another argument is invalid."""
        if isinstance(function, str):
            raise TypeError(f"give a tool's name as @tool(name={function!r})")
        if not callable(function):
            raise TypeError(f"{_repr(function)} is not a function; @tool must be the outermost decorator of a function")
        name = _name(function, name)
        if not isinstance(pure, bool):
            raise TypeError(f"tool {name!r:.200}: `pure` must be True or False, not {_repr(pure)}")
        _check_limit(name, limit)
        try:
            code = code_of(function)
            parameters = parameters_of(function)
            return cls(
                name=name,
                function=function,
                description=_description(function),
                parameters=parameters,
                is_async=is_async(function),
                place=traces.place_of(code) if code else "",
                folder=_folder(code.co_filename) if code else "",
                is_pure=pure,
                limit=limit,
                state_type=state_type_of(function) if "state" in parameters else None,
            )
        except TypeError as error:
            raise TypeError(f"tool {name!r:.200} {error}") from error
        except Exception as error:  # For example an attribute that raises, or a wrapper that wraps itself.
            raise TypeError(f"tool {name!r:.200} cannot be read: {traces.describe(error)}") from error


class Source(NamedTuple):
    """A file or module that was named with `--tools`, and the module loaded from it."""

    name: str
    module: ModuleType
    tools: int
    """The number of tools that it declares."""


class Tools(Mapping[str, Tool]):
    """The tools of a server by name, and the sources that they were loaded from."""

    def __init__(
        self,
        tools: Mapping[str, Tool],
        sources: Collection[Source] = (),
        functions: Collection[Tool] = (),
        has_cluster: bool = True,
    ) -> None:
        self._tools = dict(tools)
        self.has_cluster = has_cluster
        """Whether a cluster is configured on the server, so that nodes can have their tools called on the cluster."""
        self.sources = tuple(sources)
        self.functions = tuple(functions)
        """The tools that a program has passed as functions."""

    def __getitem__(self, name: str) -> Tool:
        return self._tools[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tools)

    def __len__(self) -> int:
        return len(self._tools)

    def with_cluster(self, *, is_there: bool) -> Tools:
        """Return the same tools with `has_cluster` set to `is_there`."""
        return Tools(self._tools, self.sources, self.functions, is_there)

    def why_missing(self, name: str) -> str:
        """Return the likely reason why the tool `name` is missing, as the end of a sentence."""
        for source in self.sources:
            if isinstance(found := vars(source.module).get(name), FunctionType):
                declared = [tool.name for tool in self._tools.values() if tool.function is found]
                if declared:
                    return f"; {source.name} registers that function as {declared[0]!r:.200}"
                return f"; {source.name} has a function of that name without @tool"
        if self.functions:
            return f"; given: {_listed([tool.name for tool in self.functions])}"
        if not self.sources:
            return "; no tools were loaded: name their file in --tools or RUNGRAPH_TOOLS"
        empty = [source.name for source in self.sources if not source.tools]
        if empty:
            return f"; {_listed(empty)} registers no tool: is @tool missing?"
        return f"; loaded: {_listed([f'{source.name} ({source.tools})' for source in self.sources])}"


CLUSTER = ""
"""Stands for a cluster where the tool that a run lacks is named. No tool has this name."""


def is_without_cluster(tools: Collection[str]) -> bool:
    """Return whether `tools` are the Tools of a server without a cluster; False for plain names, which do not tell."""
    return isinstance(tools, Tools) and not tools.has_cluster


def describe_missing(name: str, tools: Mapping[str, Tool]) -> str:
    """Return the error message for a run that needs a tool, or a cluster, which this server lacks."""
    if name == CLUSTER:
        return "no cluster is configured on this server: set RUNGRAPH_CLUSTER"
    match = difflib.get_close_matches(name[:100], list(tools), n=1)
    closest = f"; did you mean {match[0]!r}?" if match else ""
    hint = tools.why_missing(name) if isinstance(tools, Tools) else ""
    return f"no tool {name!r:.200} is registered on this server{closest}{hint}; registered: {_listed(sorted(tools))}"


def _name(function: Callable[..., Any], name: str | None) -> str:
    if name is None and not (name := getattr(function, "__name__", None)):
        raise TypeError(f"{_repr(function)} has no name: give it one with @tool(name=…)")
    if not isinstance(name, str):
        raise TypeError(f"a tool's name must be a string, not {name!r:.100}")
    if not name:
        raise TypeError("a tool's name must not be empty")
    try:
        codec.check(name)
    except codec.ValueUnfit as unfit:
        raise TypeError(f"the tool's name {name!r:.100} is invalid: {unfit.message}") from unfit
    return str.__str__(name)


def _check_limit(name: str, limit: Any) -> None:
    if limit is not None and not isinstance(limit, str):
        raise TypeError(f"the limit of the tool {name!r:.200} must be a string, not {limit!r:.100}")
    if limit is not None and (fault := fault_of_name(limit)) is not None:
        raise TypeError(f"the limit {limit!r:.100} of the tool {name!r:.200} is invalid: {fault}")


def _description(function: Any) -> str:
    while isinstance(function, functools.partial):  # A partial object has the docstring of functools.partial itself.
        function = function.func
    text = (inspect.getdoc(function) or "")[:DESCRIPTION_CHARS_MAX]
    try:
        codec.check(text)
    except codec.ValueUnfit as unfit:
        raise TypeError(f"has an invalid docstring: {unfit.message}") from unfit
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
