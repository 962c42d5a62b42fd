"""What commands print: JSON for programs, tables and colours on a terminal, plain text everywhere else.

rich is imported only if stdout is a terminal. It follows NO_COLOR and the terminal's width by itself.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from service.cli import text
from service.core import codec

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

_STYLES = {
    "completed": "green",
    "failed": "red",
    "cancelled": "yellow",
    "paused": "yellow",
    "running": "cyan",
    "waiting": "blue",
    "error": "red",
    "warning": "yellow",
}


def is_terminal() -> bool:
    return sys.stdout.isatty()


def print_answer(arguments: argparse.Namespace, document: Any, show: Callable[[], None] | str) -> int:
    """Print `document` as JSON if --json is given. Otherwise print `show`, or call it if it is a function. Return 0."""
    if arguments.json:
        print_json(document)
    elif isinstance(show, str):
        print(show, flush=True)
    else:
        show()
    return 0


def print_json(document: Any) -> None:
    """Print one JSON document in one line."""
    print(codec.encode(document), flush=True)


def print_state(state: dict[str, Any]) -> None:
    """Print the state of a run: over several lines on a terminal, otherwise in one line."""
    if is_terminal():
        import json

        _console().print_json(json.dumps(state), indent=2)
    else:
        print(f"state {text.shown(codec.encode(state))}", flush=True)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, nothing: str) -> None:
    """Print a table, or the text `nothing` if there are no rows. Cells are one line each."""
    if not rows:
        print(nothing)
    elif is_terminal():
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in head:
            # On a narrow terminal an id is folded, since half an id helps nobody; all else is cut.
            table.add_column(name, overflow="fold" if name == "id" else "ellipsis", no_wrap=name != "id")
        for row in rows:
            table.add_row(*(Text(cell, _STYLES.get(cell, "")) for cell in row))
        _console().print(table)
    else:
        for line in text.table([head, *rows]):
            print(line, flush=True)


def print_facts(facts: dict[str, Any]) -> None:
    """Print names and values, one a line. A value that is not a text is printed as JSON."""
    width = max(map(len, facts))
    for name, value in facts.items():
        shown = text.shown(value if isinstance(value, str) else codec.encode(value))
        if is_terminal():
            from rich.text import Text

            _console().print(Text.assemble((name.ljust(width), "bold"), "  ", (shown, _STYLES.get(shown, ""))))
        else:
            print(f"{name.ljust(width)}  {shown}", flush=True)


class Progress:
    """A printer of the lines of a run. On a terminal, a status line below them says where the run is."""

    def __init__(self, console: Console | None = None, status: Status | None = None) -> None:
        self._console = console
        self._status = status

    def line(self, shown: str, line: dict[str, Any]) -> None:
        """Print `shown`, the text of the log line `line`."""
        if self._console is None or self._status is None:
            print(shown, flush=True)
            return
        from rich.text import Text

        self._console.print(Text(shown, _STYLES.get(line["level"], "")), soft_wrap=True)
        if line["step"] is not None:
            self._status.update(Text(f"step {line['step']}: {text.cell(line['node'] or '')}"))


@contextmanager
def progress() -> Iterator[Progress]:
    """Yield a Progress. At the end, its status line is removed from the terminal."""
    if not is_terminal():
        yield Progress()
        return
    console = _console()
    with console.status("starting") as status:
        yield Progress(console, status)


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)
