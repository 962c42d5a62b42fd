"""A package for files of tools that cannot be imported by their own names.

The name of a file `json.py` already belongs to Python's json. Only one of two files `tools.py` can be imported as
`tools`. The name of `tools.v2.py` would mean a module of a package. In this package, the name of a module is the path
of its file, so that every process that has Rungraph can import it, including processes that a tool starts with
multiprocessing.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path

__path__: list[str] = []
"""Makes this module a package whose modules are not searched for in any folder."""

_PREFIX = __name__ + "."


def name_of(file: Path) -> str:
    """Return the name under which `file` can be imported."""
    return _PREFIX + str(file).replace("%", "%25").replace(".", "%2E")


class _Finder:
    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        if not name.startswith(_PREFIX):
            return None
        return spec_from_file_location(name, name.removeprefix(_PREFIX).replace("%2E", ".").replace("%25", "%"))


sys.meta_path.append(_Finder)
