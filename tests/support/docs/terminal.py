"""The reference of the terminal's commands, as `docs/terminal.md` shows it, made from the parser."""

from __future__ import annotations

import argparse

from service.cli.arguments import parser

TERMINAL = "docs/terminal.md"
COMMANDS = "## Commands\n\n"
"""The heading of the page's last part."""
SHARED = ("--database-url", "--json", "--tools", "--url")
"""Options that several commands have; the page explains them once."""


def reference() -> str:
    """Return a section for each command, with its arguments in a table."""
    found = parser()
    [commands] = [action for action in found._actions if isinstance(action, argparse._SubParsersAction)]
    return "\n".join(_section(name, command) for name, command in commands.choices.items())


def _section(name: str, command: argparse.ArgumentParser) -> str:
    actions = [action for action in command._actions if action.dest != "help"]
    options = {option for action in actions for option in action.option_strings}
    shared = [f"`{option}`" for option in SHARED if option in options]
    rows = [_row(action) for action in actions if not options.intersection(SHARED, action.option_strings)]
    table = ["| argument | |", "|---|---|", *rows, ""] if rows else []
    return "\n".join(
        [f"### `rungraph {name}`", "", f"{command.description}.", f"It takes {', '.join(shared)}.", "", *table]
    )


def _row(action: argparse.Action) -> str:
    value = action.metavar or ("" if action.nargs == 0 else action.dest.upper())
    names = [f"{option} {value}".strip() if option.startswith("--") else option for option in action.option_strings]
    label = ", ".join(f"`{name}`" for name in names or [str(value)])
    choices = "" if action.choices is None else ", ".join(f"`{choice}`" for choice in action.choices)
    text = "; ".join(part for part in (action.help or "", choices) if part)
    return "| " + " | ".join(part.replace("|", r"\|") for part in (label, text)) + " |"
