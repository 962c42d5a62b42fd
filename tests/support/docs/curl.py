"""Make calls with httpx that are written as curl lines. It knows only the options that the documentation uses."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

import httpx

_OPTIONS = argparse.ArgumentParser(prog="curl", exit_on_error=False)
_OPTIONS.add_argument("url")
_OPTIONS.add_argument("-s", "--silent", action="store_true")
_OPTIONS.add_argument("-N", "--no-buffer", action="store_true")
_OPTIONS.add_argument("-i", "--include", action="store_true")
_OPTIONS.add_argument("-X", "--request")
_OPTIONS.add_argument("-H", "--header", action="append", default=[])
_OPTIONS.add_argument("-d", "--data")
_OPTIONS.add_argument("--data-binary")


def commands_of(text: str) -> list[str]:
    """Return the curl commands of a shell block; other commands are left out."""
    lines = text.replace("\\\n", " ")
    commands, lexer = [], ""
    for line in lines.splitlines():
        lexer += line + "\n"
        if lexer.count("'") % 2 == 0:
            commands.append(lexer.strip())
            lexer = ""
    return [command for command in commands if command.startswith("curl ")]


def call(command: str, base_url: str, folder: Path) -> tuple[httpx.Response, bool]:
    """Make the call against `base_url`; the answer, and whether its head was asked for.

    Files named with `@` are sought in `folder`.
    """
    options = _OPTIONS.parse_args(shlex.split(command)[1:])
    data = options.data if options.data is not None else options.data_binary
    headers = [tuple(part.strip() for part in header.split(":", 1)) for header in options.header]
    if data is not None:
        if data.startswith("@"):
            data = (folder / data[1:]).read_text()
        if not any(name.lower() == "content-type" for name, _ in headers):
            headers.append(("content-type", "application/x-www-form-urlencoded"))
    url = options.url if "://" in options.url else f"http://{options.url}"
    assert url.startswith("http://localhost:8000/"), command
    answer = httpx.request(
        options.request or ("GET" if data is None else "POST"),
        base_url + url.removeprefix("http://localhost:8000"),
        content=data,
        headers=headers,
        timeout=60,
        trust_env=False,
        verify=False,  # Certificates take longer to load than an answer takes.
    )
    return answer, options.include
