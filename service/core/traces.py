"""What the author of a tool is told of an exception: what it is, where in their own code it arose, and the way there.

Their own code is what neither Python nor an installed package nor Rungraph brings along.
"""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, TracebackType

from service.core import codec

TEXT_CHARS_MAX = 4096
_GROUPS_MAX = 100
"""Groups within groups that are looked through for the first exception that is none."""

_SERVICE = str(Path(__file__).parents[1]) + "/"
_ENGINE = _SERVICE + "engine/"
_STDLIB = sysconfig.get_path("stdlib") + "/"


def _folder_of_start() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # Somebody has removed it.
        return None


_HERE = _folder_of_start()


def describe(error: BaseException, folder: str = "") -> str:
    """`TYPE: message (file:line, in function)`, for example `KeyError: 'n' (mytools.py:12, in count)`.

    The place is the last line of the author's own code, `folder` being where it lies should it be installed; it is
    left out where there is none. Of a group the first exception is told as well.
    """
    first = _first_of(error)
    said = _said(error) if first is error else f"{_said(error)}, the first being {_said(first)}"
    place = _place_in(first, folder) or _place_in(error, folder)
    place = f" ({place})" if place else ""
    return codec.printable(said[: TEXT_CHARS_MAX - len(place)] + place)[:TEXT_CHARS_MAX]


def trace(error: BaseException) -> str:
    """The traceback from the tool on, or the end of one that is too long."""
    begun: TracebackType | None = error.__traceback__
    while begun is not None and begun.tb_frame.f_code.co_filename.startswith(_ENGINE):
        begun = begun.tb_next
    text = codec.printable("".join(traceback.format_exception(type(error), error, begun)).rstrip("\n"))
    if len(text) <= TEXT_CHARS_MAX:
        return text
    return "…" + text[-TEXT_CHARS_MAX:].partition("\n")[2]


def is_installed(file: str) -> bool:
    """Whether `file` belongs to Python, to an installed package or to Rungraph."""
    return (
        file.startswith((_SERVICE, _STDLIB, "<")) or "/site-packages/" in file or "/dist-packages/" in file or not file
    )


def place_of(code: CodeType) -> str:
    """Where `code` is defined: `file:line`."""
    return f"{shown(code.co_filename)}:{code.co_firstlineno}"


def shown(file: str) -> str:
    """The path of `file` as a person reads it: relative where it lies below the folder of the start."""
    path = Path(file)
    return str(path.relative_to(_HERE)) if _HERE is not None and path.is_relative_to(_HERE) else file


def _first_of(error: BaseException) -> BaseException:
    for _ in range(_GROUPS_MAX):
        if not isinstance(error, BaseExceptionGroup):
            break
        error = error.exceptions[0]
    return error


def _said(error: BaseException) -> str:
    try:
        # Where it stands in its file is told as a place.
        message = error.msg if isinstance(error, SyntaxError) and error.msg and _syntax_place(error) else str(error)
    except BaseException as broken:  # An exception of a tool's may fail at anything, at its own message too.
        message = f"({type(broken).__name__} in its message)"
    return f"{type(error).__name__}: {message}".removesuffix(": ")


def _place_in(error: BaseException, folder: str) -> str:
    if isinstance(error, SyntaxError) and (place := _syntax_place(error)):
        return place
    last = ""
    for code, line in _frames(error.__traceback__):
        if _is_theirs(code.co_filename, folder):
            within = "" if code.co_name == "<module>" else f", in {code.co_name}"
            last = f"{shown(code.co_filename)}:{line}{within}"
    return last


def _frames(trace: TracebackType | None) -> Iterator[tuple[CodeType, int | None]]:
    while trace is not None:
        yield trace.tb_frame.f_code, trace.tb_lineno
        trace = trace.tb_next


def _is_theirs(file: str, folder: str) -> bool:
    if not is_installed(file):
        return True
    return bool(folder) and not folder.startswith(_SERVICE) and file.startswith(folder)


def _syntax_place(error: SyntaxError) -> str:
    is_file = isinstance(error.filename, str) and not error.filename.startswith("<")
    return f"{shown(error.filename or '')}:{error.lineno}" if is_file else ""
