"""Describe exceptions to the author of a tool: the message, the place in the author's code, and the traceback.

The author's code is all code that belongs neither to Python, nor to an installed package, nor to Rungraph.
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
"""The most nested exception groups to open when looking for the first exception that is not a group."""

_SERVICE = str(Path(__file__).parents[1]) + "/"
_RUNGRAPH = str(Path(__file__).parents[2] / "rungraph") + "/"
_ENGINE = _SERVICE + "engine/"
_STDLIB = sysconfig.get_path("stdlib") + "/"


def _folder_of_start() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # The folder was removed.
        return None


_HERE = _folder_of_start()


def describe(error: BaseException, folder: str = "") -> str:
    """Return `TYPE: message (file:line, in function)`, for example `KeyError: 'n' (mytools.py:12, in count)`.

    The place is that of the last frame in the author's code; it is left out if there is no such frame. Installed code
    counts as the author's if its path begins with `folder`. For an exception group, the text includes its first
    exception.
    """
    first = _first_of(error)
    summary = _summary(error) if first is error else f"{_summary(error)}, the first being {_summary(first)}"
    place = _place_in(first, folder) or _place_in(error, folder)
    place = f" ({place})" if place else ""
    return codec.printable(summary[: TEXT_CHARS_MAX - len(place)] + place)[:TEXT_CHARS_MAX]


def format_traceback(error: BaseException) -> str:
    """Return the traceback without the engine's frames at its beginning, cut to its last TEXT_CHARS_MAX characters."""
    begun: TracebackType | None = error.__traceback__
    while begun is not None and begun.tb_frame.f_code.co_filename.startswith(_ENGINE):
        begun = begun.tb_next
    text = codec.printable("".join(traceback.format_exception(type(error), error, begun)).rstrip("\n"))
    if len(text) <= TEXT_CHARS_MAX:
        return text
    return "…" + text[-TEXT_CHARS_MAX:].partition("\n")[2]


def is_installed(file: str) -> bool:
    """Return whether `file` belongs to Python, to an installed package or to Rungraph."""
    return (
        file.startswith((_SERVICE, _RUNGRAPH, _STDLIB, "<"))
        or "/site-packages/" in file
        or "/dist-packages/" in file
        or not file
    )


def place_of(code: CodeType) -> str:
    """Return where `code` is defined, as `file:line`."""
    return f"{short_path(code.co_filename)}:{code.co_firstlineno}"


def short_path(file: str) -> str:
    """Return the path of `file`, relative if it lies below the folder in which the process was started."""
    path = Path(file)
    return str(path.relative_to(_HERE)) if _HERE is not None and path.is_relative_to(_HERE) else file


def _first_of(error: BaseException) -> BaseException:
    for _ in range(_GROUPS_MAX):
        if not isinstance(error, BaseExceptionGroup):
            break
        error = error.exceptions[0]
    return error


def _summary(error: BaseException) -> str:
    try:
        # `str` of a SyntaxError includes the file and the line, which `_place_in` returns as well.
        message = error.msg if isinstance(error, SyntaxError) and error.msg and _syntax_place(error) else str(error)
    except BaseException as broken:  # A tool's exception may raise anything, even when its message is read.
        message = f"({type(broken).__name__} in its message)"
    return f"{type(error).__name__}: {message}".removesuffix(": ")


def _place_in(error: BaseException, folder: str) -> str:
    if isinstance(error, SyntaxError) and (place := _syntax_place(error)):
        return place
    last = ""
    for code, line in _frames(error.__traceback__):
        if _is_theirs(code.co_filename, folder):
            within = "" if code.co_name == "<module>" else f", in {code.co_name}"
            last = f"{short_path(code.co_filename)}:{line}{within}"
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
    return f"{short_path(error.filename or '')}:{error.lineno}" if is_file else ""
