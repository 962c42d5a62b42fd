"""Runs as a notebook shows them. Everything that comes from a run is escaped: data is never markup."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from service.client.picture import picture_of

STATE_CHARS_MAX = 2000

_CELL = 'style="text-align:left;padding:0 1em 0 0;font-family:monospace;white-space:pre-wrap"'
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>&~$])")


class RunView(NamedTuple):
    """A run with its graph, its path and its last lines, as a notebook shows it."""

    run: Mapping[str, Any]
    definition: Mapping[str, Any]
    path: Mapping[str, Any]
    lines: Sequence[Mapping[str, Any]]

    def _repr_html_(self) -> str:
        run = self.run
        picture = picture_of(self.definition, self.path, run["current_node"])
        rows = "".join(
            f"<tr>{''.join(f'<td {_CELL}>{escape(cell)}</td>' for cell in _cells(line))}</tr>" for line in self.lines
        )
        return (
            f"<div><p><b>{escape(_title(run))}</b></p>{picture}<table>{rows}</table>"
            f"<details><summary>state</summary><pre>{escape(_state_text(run))}</pre></details></div>"
        )

    def _repr_markdown_(self) -> str:
        rows = [f"| {' | '.join(_plain(cell) for cell in _cells(line))} |" for line in self.lines]
        return "\n".join([f"**{_plain(_title(self.run))}**", "", "| time | node | message |", "|---|---|---|", *rows])


class RunState(dict[str, Any]):
    """A run with its state, as a dict. A notebook shows the RunView that `view` returns. None: it shows the dict."""

    def __init__(self, run: Mapping[str, Any], view: Callable[[], RunView] | None = None) -> None:
        super().__init__(run)
        self._view = view

    def _repr_html_(self) -> str | None:
        return None if self._view is None else self._view()._repr_html_()


def _title(run: Mapping[str, Any]) -> str:
    error = f": {run['error']['type']}: {run['error']['message']}" if run["error"] else ""
    at = f" at {run['current_node']}" if run["current_node"] else ""
    return f"run {run['run_id']}, {run['status']}{at} after step {run['step']}{error}"


def _cells(line: Mapping[str, Any]) -> tuple[str, str, str]:
    return line["ts"][11:23], line["node"] or "", line["message"]


def _state_text(run: Mapping[str, Any]) -> str:
    text = json.dumps(run["state"], indent=2, ensure_ascii=False)
    return text if len(text) <= STATE_CHARS_MAX else text[:STATE_CHARS_MAX] + "\n…"


def _plain(text: str) -> str:
    """Return `text` in one line, escaped so that Markdown shows its characters literally."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split())).replace("\\<", "&lt;").replace("\\>", "&gt;")
