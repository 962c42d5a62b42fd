"""Every command that asks a server, in this process, against one server; and a few where there is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.system.commands import LOOP, TOOLS, Ask, asking_in, of
from tests.support.system.process import Server, serving, until

APPROVAL = '{"name": "approval", "start_node": "a", "nodes": {"a": {"signal": "yes"}}}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "tools.py").write_text(TOOLS)
    (folder / "loop.json").write_text(LOOP)
    (folder / "approval.json").write_text(APPROVAL)
    (folder / "fail.json").write_text(of("fail"))
    with serving(folder, tools=["tools.py"]) as found:
        yield found


@pytest.fixture
def ask(server: Server, capsys: pytest.CaptureFixture[str]) -> Ask:
    """A command where the server owns the database."""
    return asking_in(server.folder, capsys)


def read(ask: Ask, *arguments: str) -> Any:
    """What a command prints with --json."""
    done = ask(*arguments, "--json")
    assert (done.code, done.err) == (0, "")
    return json.loads(done.out)


def status_is(ask: Ask, run_id: str, status: str) -> None:
    until(lambda: read(ask, "state", run_id)["status"] == status)


def test_a_graph_is_created_shown_and_run_by_its_name(ask: Ask) -> None:
    created = read(ask, "create", "loop.json")
    graph_id = created["graph_id"]
    assert ask("create", "loop.json").out == f"graph {graph_id}\n"
    for which in ("loop", graph_id):
        shown = read(ask, "graph", "show", which)
        assert (shown["graph_id"], shown["definition"]["start_node"]) == (graph_id, "a")
    assert f"graph       {graph_id}" in ask("graph", "show", "loop").out
    done = ask("run", "--graph", "loop", "--state", '{"n": 1}', "--tag", "team:blue")
    assert (done.code, done.out.splitlines()[-1]) == (0, 'state {"n":3}')
    run = read(ask, "run", "--graph", graph_id, "--state", '{"n": 2}')
    assert (run["status"], run["state"], run["step"]) == ("completed", {"n": 3}, 1)
    found = read(ask, "runs", "--tag", "team:blue", "--graph-id", graph_id)
    assert [each["run_id"] for each in found] == [done.out.split()[1]]
    assert ask("graph", "show", "nameless") == (2, "", "rungraph: no graph has the name 'nameless', or the id\n")


def test_a_run_is_looked_at_step_by_step(ask: Ask) -> None:
    run_id = read(ask, "run", "loop.json", "--state", '{"n": 1}')["run_id"]
    assert ask("state", run_id, "--step", "1").out == 'state {"n":2}\n'
    shown = ask("state", run_id).out
    assert "status       completed" in shown
    assert shown.splitlines()[-1] == 'state {"n":3}'
    head, first, second = ask("steps", run_id).out.splitlines()
    assert head.split() == ["step", "node", "changed", "went", "to", "took"]
    assert first.split()[:5] == ["1", "a", "n", "a", "(condition)"]
    assert second.split()[:5] == ["2", "a", "n", "end", "(none_true)"]
    assert [each["step"] for each in read(ask, "steps", run_id, "--after", "1")["items"]] == [2]
    why = ask("why", run_id).out
    assert "because        It completed" in why
    assert "last decision  step 2, a → end (none_true)" in why
    lines = [json.loads(line) for line in ask("logs", run_id, "--json").out.splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))


def test_a_failed_run_is_exit_code_1_with_the_users_file_and_line(ask: Ask, server: Server) -> None:
    done = ask("run", "fail.json")
    first, *trace = done.err.splitlines()
    assert done.code == 1
    assert "failed: tool_error: ValueError: this is broken (tools.py:" in first
    assert trace[0] == "    Traceback (most recent call last):"
    assert f'File "{server.folder}/tools.py"' in trace[1]
    assert trace[-1] == "    ValueError: this is broken"
    failed = ask("run", "fail.json", "--json")
    assert (failed.code, json.loads(failed.out)["error"]["type"]) == (1, "tool_error")


def test_limits_are_set_listed_and_deleted(ask: Ask) -> None:
    assert ask("limits").out == "no limits\n"
    assert ask("limits", "set", "api", "--max", "5").out == "the limit 'api' is 5 at once\n"
    assert ask("limits", "set", "mail", "--max", "9", "--per", "1m").out == "the limit 'mail' is 9 within any 60 s\n"
    head, *rows = [line.split() for line in ask("limits").out.splitlines()]
    assert head == ["name", "max", "per_s", "in_use", "waiting"]
    assert rows == [["api", "5", "-", "0", "0"], ["mail", "9", "60.0", "0", "0"]]
    assert [limit["name"] for limit in read(ask, "limits", "list")] == ["api", "mail"]
    assert ask("limits", "delete", "api").out == "the limit 'api' is deleted\n"
    assert "no limit 'api'" in ask("limits", "delete", "api").err
    assert read(ask, "limits", "delete", "mail") == {}
    for wrong in (("set", "api"), ("set",), ("delete",), ("list", "api"), ("set", "api", "--max", "0")):
        refused = ask("limits", *wrong)
        assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)


def test_a_run_is_started_with_a_priority(ask: Ask) -> None:
    run_id = read(ask, "run", "loop.json", "--state", '{"n": 1}', "--priority", "-7")["run_id"]
    [found] = read(ask, "runs", "--id-prefix", run_id)
    assert found["priority"] == -7
    for wrong in ("101", "-101", "x", "1.5", ""):
        assert ask("run", "loop.json", f"--priority={wrong}").code == 2


def test_runs_are_steered(ask: Ask, server: Server) -> None:
    graph_id = read(ask, "create", "approval.json")["graph_id"]
    run_id = server.run(graph_id)
    status_is(ask, run_id, "waiting")
    assert ask("pause", run_id).out == f"run {run_id} is paused\n"
    assert ask("resume", run_id, "--patch", '{"n": 5}', "--max-steps", "50").code == 0
    assert ask("signal", run_id, "yes", '{"by": "me"}').out == f"run {run_id} has the signal 'yes'\n"
    status_is(ask, run_id, "completed")
    assert read(ask, "state", run_id)["state"] == {"n": 5, "yes": {"by": "me"}}
    forked = read(ask, "fork", run_id, "--step", "0", "--patch", '{"m": 1}', "--node", "a")["run_id"]
    assert read(ask, "state", forked)["forked_from"] == {"run_id": run_id, "step": 0}
    assert ask("cancel", forked).out == f"run {forked} is cancelled\n"
    refused = ask("pause", run_id)
    assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
    assert "completed" in refused.err
    assert ask("signal", forked, "yes", "{").err.startswith("rungraph: the payload is no JSON")
    assert ask("resume", run_id, "--patch", "[]").err.startswith("rungraph: --patch is no JSON object")


def test_where_runs_would_have_gone(ask: Ask, server: Server) -> None:
    old = read(ask, "run", "loop.json", "--state", '{"n": 1}')["graph_id"]
    (server.folder / "other.json").write_text(LOOP.replace('"value": 3', '"value": 2'))
    new = read(ask, "create", "other.json")["graph_id"]
    found = read(ask, "backtest", new, "--runs", old, "--status", "completed")
    assert found["diverging_runs"] >= 1
    assert found["examples"][0]["would_go"] is None
    told = ask("backtest", new, "--runs", old).out
    assert "diverging_runs" in told
    assert "none_true" in told or "end" in told


def test_tools_and_the_schema_of_graphs(ask: Ask) -> None:
    assert {"bump", "fail"} <= {each["name"] for each in read(ask, "tools")["items"]}
    assert any(line.split()[0] == "bump" for line in ask("tools").out.splitlines())
    schema = json.loads(ask("schema").out)
    assert schema["required"] == ["start_node", "nodes"]
    assert {"Node", "Condition"} <= set(schema["$defs"])


def test_a_server_is_asked_by_its_url(server: Server, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = asking_in(folder, capsys)
    run_id = read(ask, "run", "loop.json", "--state", '{"n": 1}', "--url", server.url)["run_id"]
    assert run_id in ask("runs", "--url", server.url).out
    assert ask("runs").err.startswith("rungraph: there is no database")
    assert ask("runs", "--url", "http://127.0.0.1:1").code == 2


def test_without_a_server_a_run_can_be_steered_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = asking_in(folder, capsys)
    unknown = "01a2085a-6520-7f0b-a2ba-dec519ecdd13"
    (folder / "approval.json").write_text(APPROVAL)
    read(ask, "create", "approval.json")
    assert ask("cancel", unknown) == (2, "", f"rungraph: the call was refused: no run '{unknown}'\n")
    assert ask("graph", "show", "approval").code == 0
    assert ask("tools", "--tools", "tools.py").out.count("bump") == 1
    assert ask("runs", "--status", "queued").out == "no runs\n"


def test_old_runs_are_pruned(ask: Ask) -> None:
    for number in range(3):
        read(ask, "run", "loop.json", "--state", '{"n": 2}', "--tag", f"prune:{number}")
    rule = ("prune", "--older-than", "0s", "--graph", "loop")
    found = len(read(ask, "runs", "--graph", "loop"))
    assert read(ask, *rule, "--dry-run") == {"matched": found, "done": 0}
    assert ask("prune", "--older-than", "30d").out == "0 runs were deleted\n"
    assert ask(*rule, "--keep-last", "1", "--status", "completed").out == f"{found - 1} runs were deleted\n"
    [left] = read(ask, "runs", "--graph", "loop")
    assert left["tags"] == {"prune": "2"}
    assert ask("prune", "--older-than", "soon").code == 2


def test_schedules(ask: Ask, server: Server) -> None:
    server.create(json.loads(LOOP))
    assert "takes a NAME" in ask("schedules", "set").err
    options = (
        "--graph",
        "loop",
        "--cron",
        "30 2 * * *",
        "--timezone",
        "Asia/Tokyo",
        "--state",
        '{"n": 2}',
        "--tag",
        "a:b",
    )
    assert "next ticks at " in ask("schedules", "set", "nightly run", *options).out
    assert "cron" in ask("schedules", "set", "wrong", "--graph", "loop", "--cron", "30 2").err
    assert read(ask, "schedules", "set", "often", "--graph", "loop", "--every", "10m")["every_s"] == 600
    run_id = read(ask, "schedules", "trigger", "nightly run")["run_id"]
    assert server.follow(run_id)["state"] == {"n": 3}
    assert "is paused" in ask("schedules", "pause", "nightly run").out
    assert [each["name"] for each in read(ask, "schedules")] == ["nightly run", "often"]
    shown = ask("schedules").out
    assert run_id in shown
    assert "Asia/Tokyo  paused" in shown
    assert f"last_run_id    {run_id}" in ask("schedules", "show", "nightly run").out
    assert read(ask, "schedules", "resume", "nightly run")["tags"] == {"a": "b"}
    for name in ("nightly run", "often"):
        assert "is deleted" in ask("schedules", "delete", name).out
    assert ask("schedules").out == "no schedules\n"
    assert ask("schedules", "show", "often").code == 2
