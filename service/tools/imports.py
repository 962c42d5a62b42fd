"""Import users' tools and keep their code, so that processes started later run the code that the server loaded.

A file is imported under its own name if that name finds the file, and otherwise under its name in the package `files`.
Python searches the file's folder last, so that a file in the folder cannot replace a module of Python, of an installed
package or of Rungraph.
"""

from __future__ import annotations

import base64
import importlib
import importlib.util
import marshal
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple, cast

from service.core.traces import is_installed
from service.tools import files

Snapshot = Mapping[str, Any]
"""A JSON object with the `folders` added to the search path, the names of the `modules` of tools, and the `code` of all
modules by name. The registry adds the `functions` that a program gave as tools.
"""


class Code(NamedTuple):
    """The code of a module, as it was loaded."""

    file: str
    locations: Sequence[str] | None
    """The folders of a package; None if the module is not a package."""
    code: CodeType


def import_source(source: str) -> ModuleType:
    """Import the file or the dotted name `source`. Raise ImportError or OSError if it cannot be found."""
    _keep_code()
    if not source.endswith(".py"):
        # `rungraph serve` is a script and, unlike `python -m`, does not search the working directory.
        _search(Path.cwd())
        return importlib.import_module(source)
    file = Path(source).resolve(strict=True)
    if not file.is_file():
        raise ImportError(f"{source} is not a file")
    names = _names_of(file)
    root = file.parents[len(names) - (file.name != "__init__.py")]
    _search(file.parent, root)
    module = importlib.import_module(".".join(names) if _is_first(names, root) else files.name_of(file))
    _refuse_another(module, file.parent)
    return module


def snapshot(modules: Iterable[str]) -> Snapshot:
    """Return what another process needs to import `modules` as they were loaded here."""
    code = {
        name: [kept.file, kept.locations, base64.b64encode(marshal.dumps(kept.code)).decode()]
        for name, kept in list(_kept.items())
    }
    return {"folders": list(_folders), "modules": list(modules), "code": code}


def import_snapshot(taken: Snapshot) -> list[ModuleType]:
    """Import the modules of a snapshot with the code in it, without reading their files."""
    _keep_code()
    _search(*map(Path, taken["folders"]))
    for name, (file, locations, code) in taken["code"].items():
        _given[name] = Code(file, locations, marshal.loads(base64.b64decode(code)))
    return [importlib.import_module(name) for name in taken["modules"]]


_folders: list[str] = []
_kept: dict[str, Code] = {}
"""The code loaded here, by the module's name."""
_given: dict[str, Code] = {}
"""The code that the server has loaded and that is not imported here yet, by the module's name."""


def _search(*folders: Path) -> None:
    for folder in map(str, folders):
        if folder not in sys.path:
            sys.path.append(folder)
            _folders.append(folder)
            importlib.invalidate_caches()


def _names_of(file: Path) -> list[str]:
    """Return the parts of the file's dotted name, from its outermost package on."""
    names = [] if file.name == "__init__.py" else [file.stem]
    folder = file.parent
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return names


def _is_first(names: Sequence[str], root: Path) -> bool:
    """Return whether an import by this name finds our file and not another one of the same name."""
    if not names or any("." in name for name in names):
        return False
    try:
        spec = importlib.util.find_spec(names[0])
    except (ImportError, ValueError):  # For example `__main__`, which has no spec.
        return False
    places = (root / f"{names[0]}.py", root / names[0] / "__init__.py")
    return spec is not None and spec.origin is not None and Path(spec.origin).resolve() in places


def _refuse_another(module: ModuleType, folder: Path) -> None:
    """Raise ImportError if the file meant to import a module beside it, but got one from another folder of tools."""
    code = _kept[module.__name__].code if module.__name__ in _kept else None
    for name in () if code is None else code.co_names:
        beside, other = folder / f"{name}.py", getattr(sys.modules.get(name), "__file__", None)
        if other and not is_installed(other) and beside.is_file() and not beside.samefile(other):
            raise ImportError(
                f"{name!r} is imported from {other}, not from {beside}: rename one, or give each folder an __init__.py"
                f" and write `from .{name} import …`"
            )


class _Loader(SourceFileLoader):
    """A loader that takes the code from a snapshot, or else from the file, and keeps the code for later snapshots."""

    locations: Sequence[str] | None = None

    def get_code(self, fullname: str) -> CodeType | None:
        given = _given.pop(fullname, None)
        code = super().get_code(fullname) if given is None else given.code
        if isinstance(code, CodeType):
            _kept.setdefault(fullname, Code(str(self.path), self.locations, code))
        return code


class _Finder:
    """The first of Python's finders. It finds modules of a snapshot itself, and all others through the other finders.

    Modules of users, which are not installed, are loaded by `_Loader`.
    """

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if (given := _given.get(name)) is not None:
            spec = importlib.util.spec_from_file_location(
                name, given.file, submodule_search_locations=None if given.locations is None else [*given.locations]
            )
        else:
            spec = _found_by_others(name, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader and not is_installed(spec.loader.path):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
            spec.loader.locations = spec.submodule_search_locations
        return spec


def _found_by_others(name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        find_spec = None if finder is _Finder else getattr(finder, "find_spec", None)
        if find_spec is not None and (found := find_spec(name, path, target)) is not None:
            return cast(ModuleSpec, found)
    return None


def _keep_code() -> None:
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
