"""`@tool`, and the registry that a server is started with.

Importing a module declares its tools; `load` imports what the user named and refuses two tools of one name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar, overload

from service.core.errors import StartRefused
from service.core.tool import Source, Tool, Tools
from service.core.traces import describe
from service.tools import imports

F = TypeVar("F", bound=Callable[..., Any])

_declared: list[Tool] = []
_sources: dict[str, Source] = {}
"""What was loaded so far, by the module's name: importing it once more declares nothing."""


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(*, name: str | None = None) -> Callable[[F], F]: ...
def tool(function: Callable[..., Any] | None = None, /, *, name: str | None = None) -> Any:
    """Declare a function as a tool, under its own name or under `name`; it stays callable as it is.

    TypeError where it could not be called.
    """

    def declare(declared: F) -> F:
        _declared.append(Tool.of(declared, name))
        return declared

    return declare if function is None else declare(function)


def load(sources: Iterable[str], built_in: Iterable[Tool]) -> Tools:
    """The built-in tools and all that importing `sources` declares.

    A source is a path ending in `.py` or the dotted name of a module. StartRefused where one cannot be
    imported or two tools share a name.
    """
    loaded: dict[str, Source] = {}
    for name in sources:
        before = len(_declared)
        try:
            module = imports.import_source(name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit, too: a script that is no module yet.
            raise StartRefused(f"tools {name!r} cannot be loaded: {_why(name, error)}") from error
        if getattr(module, "__file__", None) is None and hasattr(module, "__path__"):
            raise StartRefused(f"tools {name!r} cannot be loaded: it is a folder; name a file in it")
        # Some may be declared by what it imports; its own may have been by another source that imports it.
        own = sum(1 for each in _declared if each.function.__module__ == module.__name__)
        source = Source(name, module, max(own, len(_declared) - before))
        loaded[module.__name__] = _sources.setdefault(module.__name__, source)
    return Tools(_by_name(built_in), tuple(loaded.values()))


def load_snapshot(taken: imports.Snapshot, built_in: Iterable[Tool]) -> Tools:
    """The tools of the server that took the snapshot. StartRefused where they cannot be loaded here."""
    try:
        imports.import_snapshot(taken)
    except BaseException as error:
        raise StartRefused(f"the tools cannot be loaded: {' '.join(describe(error).split())}") from error
    return Tools(_by_name(built_in))


def snapshot(tools: Tools) -> imports.Snapshot:
    """What another process needs for `load_snapshot`, as it was loaded here."""
    return imports.snapshot(source.module.__name__ for source in tools.sources)


def _by_name(built_in: Iterable[Tool]) -> dict[str, Tool]:
    tools: dict[str, Tool] = {}
    for found in (*built_in, *_declared):
        if (first := tools.setdefault(found.name, found)) is not found:
            raise StartRefused(f"two tools have the name {found.name!r:.200}: {_place(first)} and {_place(found)}")
    return tools


def _place(tool: Tool) -> str:
    function = tool.function
    return f"{getattr(function, '__name__', 'one')} ({tool.place or getattr(function, '__module__', '?')})"


def _why(source: str, error: BaseException) -> str:
    """One line for the author of the tools, or for who has misspelt their name."""
    if (
        isinstance(error, ModuleNotFoundError)
        and not source.endswith(".py")
        and f"{source}.".startswith(f"{error.name}.")
    ):
        found = (
            f"; did you mean {source}.py?"
            if Path(f"{source}.py").is_file()
            else f" in {Path.cwd()} or where Python looks"
        )
        return f"there is no module {error.name!r}{found}"
    if isinstance(error, FileNotFoundError) and source.endswith(".py") and not Path(source).exists():
        return f"there is no file {Path.cwd() / source}"
    return " ".join(describe(error, _folder(source)).split())


def _folder(source: str) -> str:
    return f"{Path(source).absolute().parent}/" if source.endswith(".py") else ""
