"""The package of files of tools that cannot be imported by a name of their own.

`json.py` would be Python's json, of two files `tools.py` one alone can be `tools`, and `tools.v2` would be a module
of a package. The name of such a module is its path in here, so that every process which has Rungraph can import it,
those that a tool's multiprocessing starts too.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path

__path__: list[str] = []
"""Makes a package of this module, whose modules are not looked for in any folder."""

_PREFIX = __name__ + "."


def name_of(file: Path) -> str:
    """The name under which `file` can be imported."""
    return _PREFIX + str(file).replace("%", "%25").replace(".", "%2E")


class _Finder:
    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        if not name.startswith(_PREFIX):
            return None
        return spec_from_file_location(name, name.removeprefix(_PREFIX).replace("%2E", ".").replace("%25", "%"))


sys.meta_path.append(_Finder)
