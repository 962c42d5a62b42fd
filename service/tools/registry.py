"""Declare tools with `@tool`, and load the tools that a server is started with.

Importing a module declares its tools. `load` imports the modules that the user named, and refuses two tools with the
same name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar, overload

from service.core.errors import StartRefused
from service.core.tool import Source, Tool, Tools
from service.core.traces import describe
from service.tools import imports
from service.tools.functions import function_at, place_of_function

F = TypeVar("F", bound=Callable[..., Any])

_declared: list[Tool] = []
_sources: dict[str, Source] = {}
"""The sources loaded so far, by the module's name. They are kept because importing a module again declares nothing."""


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(*, name: str | None = None, pure: bool = False, limit: str | None = None) -> Callable[[F], F]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    pure: bool = False,
    limit: str | None = None,
) -> Any:
    """Declare a function as a tool, under its own name or under `name`, and return the function unchanged.

    `pure` declares that no harm is done by repeating a call or by never using its result. The engine may then call the
    tool before the earlier steps are on disk. An attempt needs a slot of the limit named `limit`, unless the node names
    another limit. Raise TypeError if the engine could not call the function.
    """

    def declare(declared: F) -> F:
        _declared.append(Tool.of(declared, name, pure=pure, limit=limit))
        return declared

    return declare if function is None else declare(function)


def load(sources: Iterable[str], built_in: Iterable[Tool]) -> Tools:
    """Import `sources`, and return the built-in tools and all tools declared so far.

    A source is a path ending in `.py` or the dotted name of a module. Raise StartRefused if a source cannot be
    imported, or if two tools have the same name.
    """
    loaded: dict[str, Source] = {}
    for name in sources:
        before = len(_declared)
        if not name.strip():
            raise StartRefused(f"tools {name!r} cannot be loaded: the name is empty; give FILE.py or package.module")
        try:
            module = imports.import_source(name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too, from a script that was not written as a module.
            raise StartRefused(f"tools {name!r} cannot be loaded: {_why(name, error)}") from error
        if getattr(module, "__file__", None) is None and hasattr(module, "__path__"):
            raise StartRefused(f"tools {name!r} cannot be loaded: it is a folder; name a file in it")
        # The new tools include those of modules that the source imports. There are none if an earlier source has
        # imported this one: then the tools of its own module count.
        own = sum(1 for each in _declared if each.function.__module__ == module.__name__)
        source = Source(name, module, max(own, len(_declared) - before))
        loaded[module.__name__] = _sources.setdefault(module.__name__, source)
    return Tools(_by_name(built_in), tuple(loaded.values()))


def collect(given: Iterable[Callable[..., Any] | str], built_in: Iterable[Tool]) -> Tools:
    """Return the built-in tools and those that a program gives: functions, declared with `@tool` or not, and sources.

    If a source is given, all tools declared so far are included, as in `load`. Raise StartRefused as `load` does, and
    TypeError if a function cannot be a tool.
    """
    given = list(given)
    sources = [each for each in given if isinstance(each, str)]
    loaded = load(sources, ()) if sources else Tools({})
    named = {id(tool.function): tool for tool in _declared}
    functions = [named.get(id(each)) or Tool.of(each) for each in given if not isinstance(each, str)]
    tools = _unique((*built_in, *loaded.values(), *(tool for tool in functions if tool not in loaded.values())))
    return Tools(tools, loaded.sources, functions)


def load_snapshot(taken: imports.Snapshot, built_in: Iterable[Tool]) -> Tools:
    """Return the tools of the server that took the snapshot. Raise StartRefused if they cannot be loaded."""
    try:
        imports.import_snapshot(taken)
    except BaseException as error:
        raise StartRefused(f"the tools cannot be loaded: {' '.join(describe(error).split())}") from error
    functions = {name: Tool.of(function_at(module, place), name) for name, module, place in taken["functions"]}
    return Tools({**_by_name(built_in), **functions})


def snapshot(tools: Tools) -> imports.Snapshot:
    """Return what another process needs for `load_snapshot`."""
    taken = imports.snapshot(source.module.__name__ for source in tools.sources)
    functions = [(tool.name, *place_of_function(tool.function)) for tool in tools.functions]
    return {**taken, "functions": functions}


def _by_name(built_in: Iterable[Tool]) -> dict[str, Tool]:
    return _unique((*built_in, *_declared))


def _unique(found_tools: Iterable[Tool]) -> dict[str, Tool]:
    tools: dict[str, Tool] = {}
    for found in found_tools:
        if (first := tools.setdefault(found.name, found)) is not found:
            raise StartRefused(f"two tools have the name {found.name!r:.200}: {_place(first)} and {_place(found)}")
    return tools


def _place(tool: Tool) -> str:
    function = tool.function
    return f"{getattr(function, '__name__', 'one')} ({tool.place or getattr(function, '__module__', '?')})"


def _why(source: str, error: BaseException) -> str:
    """Return one line that explains the error to the author of the tools."""
    if (
        isinstance(error, ModuleNotFoundError)
        and not source.endswith(".py")
        and f"{source}.".startswith(f"{error.name}.")
    ):
        return f"there is no module {error.name!r}{_instead_of_module(source)}"
    if isinstance(error, FileNotFoundError) and source.endswith(".py") and not Path(source).exists():
        hint = "; give each file in a --tools of its own" if "," in source else ""
        return f"there is no file {Path.cwd() / source}{hint}"
    return " ".join(describe(error, _folder(source)).split())


def _instead_of_module(source: str) -> str:
    """Return a hint at what was meant by the name of a module that does not exist."""
    plain = source.strip()
    if "," in plain:
        return "; give each module in a --tools of its own"
    file = plain.partition(":")[0].removesuffix(".py")
    if Path(f"{file}.py").is_file():
        return f"; did you mean {file}.py?"
    if Path(plain).is_file():
        return f"; {plain} is a file, and a file of tools has a name that ends in .py"
    return f" in {Path.cwd()} or on Python's search path"


def _folder(source: str) -> str:
    return f"{Path(source).absolute().parent}/" if source.endswith(".py") else ""
