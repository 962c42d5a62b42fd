"""Tables, facts and lines on a terminal, wide, narrow and without colours."""

from __future__ import annotations

import re

import pytest

from service.cli import output

ID = "01a2085a-6520-7f0b-a2ba-dec519ecdd13"
ROWS = [[ID, "completed", "[red]x[/red]"], [ID, "failed", "b" * 60]]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A terminal of 100 columns, as far as `output` and rich can tell."""
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "100"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return monkeypatch


def test_statuses_have_colours_and_data_is_no_markup(
    terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output.print_table(["id", "status", "node"], ROWS, nothing="no runs")
    printed = capsys.readouterr().out
    assert "\x1b[32mcompleted" in printed
    assert "[red]x[/red]" in printed
    output.print_facts({"status": "failed", "step": 3})
    assert "\x1b[31mfailed" in capsys.readouterr().out
    terminal.setenv("NO_COLOR", "1")
    output.print_table(["id", "status", "node"], ROWS, nothing="no runs")
    assert "\x1b[3" not in capsys.readouterr().out


def test_a_narrow_terminal_keeps_ids_whole(terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.setenv("COLUMNS", "40")
    terminal.setenv("NO_COLOR", "1")
    output.print_table(["id", "status", "node"], ROWS[:1], nothing="no runs")
    lines = re.sub("\x1b\\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert all(len(line) <= 40 for line in lines)
    assert "".join(line.split()[0] for line in lines[1:]) == ID


@pytest.mark.usefixtures("terminal")
def test_progress_shows_lines_and_where_the_run_is(capsys: pytest.CaptureFixture[str]) -> None:
    with output.progress() as progress:
        progress.line("12:00 [a] two", {"level": "error", "step": 2, "node": "a"})
    assert "12:00 [a] two" in capsys.readouterr().out


def test_nothing_of_it_is_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(["id"], [], nothing="no runs")
    output.print_state({"a": "\x1b[31m"})
    assert capsys.readouterr().out == 'no runs\nstate {"a":"\\\\u001b[31m"}\n'.replace("\\\\", "\\")
