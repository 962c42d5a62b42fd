"""`@tool`, and the registry that a server is started with.

Importing a module declares its tools; `load` imports what the user named and refuses two tools of one name.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, TypeVar, overload

from service.core.errors import StartRefused
from service.core.tool import Tool

F = TypeVar("F", bound=Callable[..., Any])

_declared: list[Tool] = []


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(*, name: str | None = None) -> Callable[[F], F]: ...
def tool(function: Callable[..., Any] | None = None, /, *, name: str | None = None) -> Any:
    """Declare a function as a tool, under its own name or under `name`; it stays callable as it is."""

    def declare(declared: F) -> F:
        _declared.append(Tool.of(declared, name))
        return declared

    return declare if function is None else declare(function)


def load(sources: Iterable[str], built_in: Iterable[Tool]) -> Mapping[str, Tool]:
    """The tools by name: the built-in ones and all that importing `sources` declares.

    A source is a path ending in `.py` or the dotted name of a module. StartRefused where one cannot be
    imported or two tools share a name.
    """
    for source in sources:
        try:
            _import(source)
        except (Exception, SystemExit) as error:
            message = " ".join(f"{type(error).__name__}: {error}".split())
            raise StartRefused(f"tools {source!r} cannot be loaded: {message}") from error
    tools: dict[str, Tool] = {}
    for found in (*built_in, *_declared):
        if tools.setdefault(found.name, found) is not found:
            raise StartRefused(f"two tools have the name {found.name!r}")
    return MappingProxyType(tools)


def _import(source: str) -> ModuleType:
    if not source.endswith(".py"):
        # `rungraph serve` is a script: unlike `python -m`, it does not look for modules here by itself.
        if (here := str(Path.cwd())) not in sys.path:
            sys.path.insert(0, here)
        return importlib.import_module(source)
    file = Path(source).resolve(strict=True)
    name = f"rungraph_tools_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
