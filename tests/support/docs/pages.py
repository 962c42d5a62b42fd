"""Execute a page of the documentation: make its calls, post its graphs, run its Python and compare its answers.

A block of `sh` runs its curl lines; a block of `json` or `text` directly after it is the answer to the last of them.
Ids are captured from answers: RUN_ID and GRAPH_ID stand for the last ones. Comments above a block change that:

- `file NAME`: the block is that file. `preparing` writes it before the server starts.
- `until STATUS` or `until STATUS of NAME`: wait until the run has that status before the block is executed.
- `run_id NAME`: the run that the block starts is called NAME, and RUN_ID stays.
- `status CODE`: the call is refused with that code.
- `node` or `options`: the block is a node of a graph, or options of one; it is posted within a graph.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import pytest

from service.testing import server
from service.tools import registry
from tests.support.api import testclient  # noqa: F401  # Its import warns, and the documentation's does not then.
from tests.support.docs.answers import difference, settled
from tests.support.docs.blocks import Block, blocks_of
from tests.support.docs.curl import call, commands_of
from tests.support.system.process import Server


def _execute_test(test: Callable[..., None]) -> None:
    """Call a test of the documentation with the fixture that it may take."""
    if "rungraph_server" in inspect.signature(test).parameters:
        with server() as found:
            test(rungraph_server=found)
    else:
        test()


class Answer:
    """What a call was answered, as JSON and as text."""

    def __init__(self, text: str, head: str = "") -> None:
        self.text = head + text
        try:
            self.json = json.loads(text)
        except ValueError:
            self.json = None


class Page:
    """The execution of one page against a server, from its first block to its last."""

    def __init__(self, file: str, server: Server) -> None:
        self._file = file
        self._server = server
        self._ids: dict[str, str] = {}
        self._names: dict[str, Any] = {"__name__": "documentation"}
        """What the Python of the page has defined so far."""

    def execute(self) -> None:
        """Execute all blocks; AssertionError names the place of the first answer that differs."""
        for block, answer in self.answers():
            if block.language == "json":
                assert answer.json is not None, f"{block.place}: {answer.text}"
                found = difference(json.loads(block.text), answer.json)
                assert found is None, f"{block.place}: {found}"
            else:
                missing = [
                    line for line in block.text.splitlines() if settled(line.strip(" …")) not in settled(answer.text)
                ]
                assert not missing, f"{block.place}: {missing} is not in {answer.text}"

    def answers(self) -> Iterator[tuple[Block, Answer]]:
        """Execute the page, and yield each block that shows an answer with the answer that came."""
        answer: Answer | None = None
        for block in blocks_of(self._file):
            if block.language in ("json", "text") and answer is not None and not block.marks:
                yield block, answer
                answer = None
            else:
                answer = self._execute(block)

    def _execute(self, block: Block) -> Answer | None:
        answer = None
        for name, value in block.marks.items():
            if name == "until":
                status, _, of = value.partition(" of ")
                self._server.follow(self._ids[of or "RUN_ID"], until=[status])
        if block.language == "sh":
            for command in commands_of(block.text):
                answer = self._call(block, self._named(command))
        elif block.language == "python" and "file" not in block.marks:
            self._run(compile(self._named(block.text), block.place, "exec", dont_inherit=True))
        elif block.language == "json":
            self._post(block)
        return answer

    def _call(self, block: Block, command: str) -> Answer:
        response, with_head = call(command, self._server.url, self._server.folder)
        expected = block.marks.get("status")
        is_expected = response.status_code < 400 if expected is None else response.status_code == int(expected)
        assert is_expected, f"{block.place}: {command}: {response.status_code} {response.text}"
        head = ""
        if with_head:
            lines = [f"HTTP/1.1 {response.status_code} {response.reason_phrase}"]
            head = "\n".join([*lines, *(f"{name}: {value}" for name, value in response.headers.items()), "", ""])
        answer = Answer(response.text, head)
        if isinstance(answer.json, dict):
            for name in ("run_id", "graph_id"):
                if isinstance(answer.json.get(name), str):
                    self._ids[block.marks.get(name, name.upper())] = answer.json[name]
        return answer

    def _run(self, code: CodeType) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self._server.folder)
            patch.setattr(registry, "_declared", [])  # A tool of the documentation is none of other tests.
            before = dict(self._names)
            exec(code, self._names)
            for name, made in list(self._names.items()):
                if name.startswith("test_") and made is not before.get(name):
                    _execute_test(made)

    def _post(self, block: Block) -> None:
        document: Any = json.loads(self._named(block.text))
        if "node" in block.marks or "options" in block.marks:
            node = document if "node" in block.marks else {"tool": "improve_guess", **document}
            document = {"start_node": "a", "nodes": {"a": node, "b": "improve_guess"}}
        elif "edges" in block.marks:
            names = {*document, *re.findall(r'"to": "(\w+)"', block.text)}
            nodes = dict.fromkeys(names, "improve_guess")
            document = {"start_node": next(iter(document)), "nodes": nodes, "edges": document}
        if "start_node" in document and "file" not in block.marks:
            self._server.create(document)

    def _named(self, text: str) -> str:
        text = text.replace("ws://localhost:8000", self._server.url.replace("http", "ws"))
        text = text.replace('"http://localhost:8000"', f'"{self._server.url}"')
        for name, value in self._ids.items():
            text = re.sub(rf"\b{name}\b", value, text)
        return text
