"""Files of tools as users have them: with modules beside them, with multiprocessing, and edited under the server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.system.commands import of, rungraph
from tests.support.system.process import serving, until

TOOLS = """
from __future__ import annotations
import dataclasses, enum, inspect, logging, multiprocessing, pickle, typing
from concurrent.futures import ProcessPoolExecutor
from service import tool
from beside import VERSION

class Colour(enum.Enum):
    RED = 1

@dataclasses.dataclass
class Pair:
    colour: Colour
    other: Pair | None = None

def swap(pair: Pair) -> Pair:
    return Pair(pair.colour, Pair(pair.colour))

@tool
def spread(metadata):
    context = multiprocessing.get_context(metadata["method"])
    pair = Pair(Colour.RED)
    with context.Pool(1) as pool:
        (swapped,) = pool.map(swap, [pair])
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        assert list(executor.map(swap, [pair])) == [swapped] == [pickle.loads(pickle.dumps(swapped))]
    assert typing.get_type_hints(Pair)["other"] == Pair | None
    return {"source": inspect.getsource(swap), "module": __name__, "logging": hasattr(logging, "getLogger")}

@tool
def version(state):
    return {"version": VERSION}

if __name__ == "__main__":
    raise SystemExit("nobody asked for this")
"""


@pytest.fixture
def flows(tmp_path: Path) -> Path:
    """A folder of tools whose other modules have names of Python's, of a dependency's and of Rungraph's."""
    flows = tmp_path / "flows"
    (flows / "service").mkdir(parents=True)
    for name in ("logging", "httpx", "service/__init__"):
        (flows / f"{name}.py").write_text("raise ImportError('not this one')")
    (flows / "beside.py").write_text("VERSION = 1\n")
    (flows / "mine.py").write_text(TOOLS)
    return flows


def node(tool: str, *, isolate: bool = True, **metadata: Any) -> dict[str, Any]:
    return {"start_node": "a", "nodes": {"a": {"tool": tool, "isolate": isolate, "metadata": metadata}}}


@pytest.mark.parametrize("name", ["mine.py", "json.py"])
def test_a_tool_of_a_file_may_use_multiprocessing(tmp_path: Path, flows: Path, name: str) -> None:
    (flows / "mine.py").rename(flows / name)
    with serving(tmp_path, tools=[f"flows/{name}"]) as server:
        asked = [node("spread", isolate=False, method="spawn"), node("spread", method="forkserver")]
        for run in [server.follow(each) for each in [server.run(server.create(each)) for each in asked]]:
            assert run["status"] == "completed", run["error"]
            assert run["state"]["source"].startswith("def swap(")
            assert run["state"]["module"].endswith(name.replace(".", "%2E") if name == "json.py" else "mine")
            assert run["state"]["logging"]
        assert server.said.count("Rungraph serves") == 1  # No process of these became another server.


def test_multiprocessing_under_uvicorn_starts_no_second_server(tmp_path: Path, flows: Path) -> None:
    command = [sys.executable, "-m", "uvicorn", "service.main:app", "--port", "0"]
    with serving(tmp_path, command=command, RUNGRAPH_TOOLS=str(flows / "mine.py")) as server:
        run = server.follow(server.run(server.create(node("spread", isolate=False, method="spawn"))))
        assert run["status"] == "completed", run["error"]
        assert server.said.count("Started server process") == 1


def test_an_edit_under_a_running_server_changes_nothing_and_fails_nothing(tmp_path: Path, flows: Path) -> None:
    with serving(tmp_path, tools=["flows/mine.py"]) as server:
        isolated, plain = (server.create(node("version", isolate=isolate)) for isolate in (True, False))
        first = server.follow(server.run(isolated))
        (flows / "beside.py").write_text("VERSION = 2\n")
        (flows / "mine.py").write_text("half a fi(")
        runs = [server.run(isolated, n=n) for n in range(9)] + [server.run(plain)]
        for run in (first, *map(server.follow, runs)):
            assert (run["status"], run["state"].get("version")) == ("completed", 1), run["error"]


def test_a_forgotten_decorator_is_named_at_the_start_and_at_the_graph(tmp_path: Path) -> None:
    (tmp_path / "nodeco.py").write_text("def count(state): ...\n")
    with serving(tmp_path, tools=["nodeco.py"]) as server:
        until(lambda: "nodeco.py registers no tool: is @tool missing?" in server.said)
        answer = server.call("POST", "/graph/create", json={"start_node": "a", "nodes": {"a": "count"}})
        assert answer.status_code == 422
        assert answer.json()["errors"] == [
            {
                "pointer": "/nodes/a",
                "message": "no tool 'count' is registered; nodeco.py has a function of that name without @tool",
            }
        ]


def test_a_log_shows_a_traceback_as_lines(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from service import tool\n@tool\ndef count(state):\n    return state['n']\n")
    (tmp_path / "graph.json").write_text(of("count"))
    failed = rungraph(tmp_path, "run", "graph.json", "--tools", "mine.py")
    run_id = failed.stdout.split()[1]
    said = "tool_error: KeyError: 'n' (mine.py:4, in count)"
    traceback = [
        "    Traceback (most recent call last):",
        f'      File "{tmp_path / "mine.py"}", line 4, in count',
        "        return state['n']",
        "               ~~~~~^^^^^",
        "    KeyError: 'n'",
    ]
    assert failed.stderr.splitlines() == [f"rungraph: run {run_id} failed: {said}", *traceback]
    assert [line[25:] for line in failed.stdout.splitlines()[2:-1]] == [said, "failed in step 1 (tool_error)"]
    assert failed.stdout.splitlines()[-1] == "state {}"
    logged = rungraph(tmp_path, "logs", run_id).stdout.splitlines()
    assert [line[36:] for line in logged if not line.startswith(" ")][1:] == [said, "failed in step 1 (tool_error)"]
    assert [line for line in logged if line.startswith(" ")] == traceback
