"""`rungraph run`, `runs` and `logs` where no server owns the database: all within the command's own process."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from service.version import VERSION
from tests.support.system.commands import LOOP, TOOLS, Ask, begun, of, read_until, rungraph
from tests.support.system.process import serving

BROKEN_LINE = next(number for number, line in enumerate(TOOLS.splitlines(), 1) if "this is broken" in line)


def content(folder: Path) -> dict[str, bytes]:
    """Every file, by name."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_run_to_its_end_then_listed_and_its_lines_read_back(folder: Path, ask: Ask) -> None:
    done = rungraph(folder, "run", "loop.json", "--state", '{"n": 1}', "--tools", "tools.py")
    assert (done.returncode, done.stderr) == (0, "")
    first, *lines = done.stdout.splitlines()
    run_id = first.removeprefix("run ")
    messages = ["started at a", "two\\nlines", "a → a (condition)", "two\\nlines", "a → end (none_true)"]
    assert lines.pop() == 'state {"n":3}'
    assert [line[25:] for line in lines] == [*messages, "completed after step 2"]

    before = content(folder)
    listed = ask("runs").out.splitlines()
    assert [row.split()[:5] for row in listed[1:]] == [[run_id, "loop", "completed", "2", "-"]]
    assert listed[0].split() == ["id", "graph", "status", "step", "node", "started", "(UTC)", "duration"]
    logged = ask("logs", run_id)
    assert (logged.code, logged.err) == (0, "")
    assert [line[11:].removesuffix(' {"n":1}').removesuffix(' {"n":2}') for line in logged.out.splitlines()] == lines
    assert '{"n":2}' in logged.out
    assert ask("logs", "-f", run_id) == logged
    assert content(folder) == before

    (folder / "state.json").write_text('{"n": 2}')
    again = rungraph(folder, "run", "loop.json", "--state", "@state.json", "--tools", "tools.py")
    assert "completed after step 1" in again.stdout
    newest = ask("runs", "--limit", "1", "--status", "completed").out.splitlines()
    assert [row.split()[0] for row in newest] == ["id", again.stdout.split()[1]]
    assert ask("runs", "--status", "failed").out == "no runs\n"


@pytest.mark.parametrize(
    ("graph", "says"),
    [
        (of("fail"), f"failed: tool_error: ValueError: this is broken (tools.py:{BROKEN_LINE}, in fail)"),
        (of("bump", max_steps="1", edges='{"a": "a"}'), "is paused: reached max_steps: 1 of 1 steps"),
    ],
)
def test_a_run_that_does_not_complete_is_exit_code_1(folder: Path, graph: str, says: str) -> None:
    (folder / "graph.json").write_text(graph)
    done = rungraph(folder, "run", "graph.json", "--state", '{"n": 0}', "--tools", "tools.py")
    assert done.returncode == 1
    first, *trace = done.stderr.splitlines()
    assert first == f"rungraph: run {done.stdout.split()[1]} {says}"
    assert [line for line in trace if "tools.py" in line] == (
        [f'      File "{folder}/tools.py", line {BROKEN_LINE}, in fail'] if "failed" in says else []
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["runs"], "there is no database"),
        (["logs", "01a2085a-6520-7f0b-a2ba-dec519ecdd13"], "there is no database"),
        (["logs", "-f", "01a2085a-6520-7f0b-a2ba-dec519ecdd13"], "there is no database"),
        (["logs", "../graphs"], "no run '../graphs'"),
        (["logs", "a\nb"], "no run 'a\\nb'"),
        (["logs"], "RUN_ID"),
        (["runs", "--limit", "0"], "--limit"),
        (["runs", "--limit", "x"], "--limit"),
        (["runs", "--status", "done"], "'completed'"),
        (["runs", "--database-url", "sqlite://"], "--database-url: a durable engine needs a file: an in-memory"),
        (["runs", "--database-url", "peek.db"], "--database-url: 'peek.db' is no database URL; of a file"),
        (["runs", "--database-url", "a/peek.db"], "it is sqlite:///a/peek.db"),
        (["runs", "--database-url", "/peek.db"], "it is sqlite:////peek.db"),
        (["runs", "--database-url", "mysql://h/d"], "--database-url: no database of the kind 'mysql'"),
        (["runs", "--database-url", "x/y:secret@h"], "--database-url: this is no database URL; use"),
        (["runs", "--database-url", "postgresql://h:secret@h/d?x=1"], "--database-url: this is no URL that libpq"),
        (["run"], "GRAPH.json"),
        (["run", "loop.json", "--graph", "loop"], "GRAPH.json"),
        (["run", "loop.json", "--tag", "a"], "KEY:VALUE"),
        (["cancel", "01a2085a-6520-7f0b-a2ba-dec519ecdd13"], "there is no database"),
        (["state", "1"], "no run '1'"),
        (["run", "missing.json"], "cannot read missing.json: No such file"),
        (["run", "."], "cannot read .: Is a directory"),
        (["run", "tools.py"], "tools.py is no JSON"),
        (["run", "nul.json"], "/name: a string contains NUL"),
        (["run", "loop.json", "--state", "[]"], "--state is no JSON object"),
        (["run", "loop.json", "--state", "tools.py"], "; to read the file, write @tools.py"),
        (["run", "loop.json", "--state", "{"], "--state is no JSON"),
        (["run", "loop.json", "--state", '{"a": 1, "a": 2}'], "appears twice"),
        (["run", "loop.json", "--state", "@missing"], "cannot read missing"),
        (["run", "loop.json", "--state", "@tools.py"], "tools.py is no JSON"),
        (["run", "loop.json", "--tools", "missing.py"], "missing.py"),
    ],
)
def test_wrong_usage_is_one_clear_line_and_makes_no_database(
    folder: Path, ask: Ask, arguments: list[str], says: str
) -> None:
    (folder / "nul.json").write_text(LOOP.replace("loop", "\\u0000"))
    before = content(folder)
    said = ask(*arguments)
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert says in said.err
    assert "secret" not in said.err
    assert content(folder) == before


def test_a_setting_that_makes_no_sense_is_told_by_where_it_comes_from(folder: Path) -> None:
    said = rungraph(folder, "runs", RUNGRAPH_DATABASE_URL="peek.db")
    assert said.returncode == 2
    assert said.stderr == (
        "rungraph: RUNGRAPH_DATABASE_URL: 'peek.db' is no database URL; of a file it is sqlite:///peek.db\n"
    )


def test_what_the_server_refuses_is_told_with_every_pointer(folder: Path, ask: Ask) -> None:
    (folder / "bad.json").write_text(of("bmup", edges='{"b": "a"}', extra="1"))
    refused = rungraph(folder, "run", "bad.json", "--tools", "tools.py")
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert refused.stderr.startswith("rungraph: bad.json was refused: ")
    for fault in ("/extra: ", "/nodes/a: ", "did you mean 'bump'", "/edges/b: "):
        assert fault in refused.stderr
    assert ask("runs").out == "no runs\n"
    unknown = ask("logs", "01a2085a-6520-7f0b-a2ba-dec519ecdd13")
    assert unknown == (2, "", "rungraph: no run '01a2085a-6520-7f0b-a2ba-dec519ecdd13'\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_is_released_and_goes_on_as_it_says(
    folder: Path, ask: Ask, number: signal.Signals
) -> None:
    again = '{"a": {"to": "a", "condition": {"key": "n", "op": "<", "value": 1000000}}}'
    (folder / "long.json").write_text(of("bump", edges=again))
    with begun(folder, "run", "long.json", "--state", '{"n": 0}', "--tools", "tools.py") as process:
        run_id = read_until(process.stdout, "run ").split()[1]
        read_until(process.stdout, "a → a")
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130
    assert said.count("\n") == 1
    assert "rungraph serve --tools tools.py" in said
    assert f"rungraph logs -f {run_id}" in said

    before = content(folder)
    assert ask("runs").out.splitlines()[1].split()[:3:2] == [run_id, "queued"]
    assert "two\\nlines" in ask("logs", run_id).out
    assert content(folder) == before, "it was only looked at"
    with closing(sqlite3.connect(folder / "rungraph.db")) as database:
        ((step, owner),) = database.execute("SELECT step, lease_owner FROM runs").fetchall()
    assert (step > 0, owner) == (True, None)
    with serving(folder, tools=["tools.py"]) as server:
        assert server.follow(run_id, until=["running"])["step"] >= step


def test_a_second_ctrl_c_ends_it_at_once_whatever_the_tool_does(folder: Path) -> None:
    (folder / "block.json").write_text(of("block"))
    (folder / "block.py").write_text(
        "import time\nfrom service import tool\n\n@tool\ndef block(context):\n"
        "    context.log('blocking')\n    time.sleep(600)\n"
    )
    with begun(folder, "run", "block.json", "--tools", "block.py") as process:
        read_until(process.stdout, "blocking")
        process.send_signal(signal.SIGINT)
        read_until(process.stderr, "stopping")
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 130


def test_following_a_run_that_nobody_executes_says_so_and_goes_on_when_somebody_does(folder: Path) -> None:
    with begun(folder, "run", "wait.json", "--tools", "tools.py") as process:
        run_id = read_until(process.stdout, "run ").split()[1]
        read_until(process.stdout, "waiting")
        process.kill()
    with begun(folder, "logs", run_id, "--follow") as following:
        assert "nobody executes it" in read_until(following.stderr, run_id)
        read_until(following.stdout, "waiting")
        with serving(folder, tools=["tools.py"]):
            read_until(following.stdout, "taken over")
            (folder / "go").touch()
            assert "completed after step 1" in following.communicate(timeout=60)[0]
            assert following.returncode == 0


def test_thousands_of_lines_are_read_page_by_page_and_a_reader_may_leave(folder: Path, ask: Ask) -> None:
    (folder / "talk.json").write_text(of("talk"))
    done = rungraph(folder, "run", "talk.json", "--state", '{"lines": 4500}', "--tools", "tools.py")
    run_id = done.stdout.split()[1]
    told = [f"line {number} " + "." * 50 for number in range(4500)]
    assert [line[25:] for line in done.stdout.splitlines()[2:-3]] == told
    assert [line[36:] for line in ask("logs", run_id).out.splitlines()[1:-2]] == told
    with begun(folder, "logs", run_id) as process:
        read_until(process.stdout, "line 0")
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(30) == 128 + signal.SIGPIPE


def test_a_run_whose_reader_leaves_is_released(folder: Path) -> None:
    with begun(folder, "run", "wait.json", "--tools", "tools.py") as process:
        run_id = read_until(process.stdout, "run ").split()[1]
        assert process.stdout is not None
        process.stdout.close()
        (folder / "go").touch()
        assert process.stderr is not None
        assert f"rungraph logs -f {run_id}" in process.stderr.read()
        assert process.wait(30) == 128 + signal.SIGPIPE
    with closing(sqlite3.connect(folder / "rungraph.db")) as database:
        assert database.execute("SELECT count(*) FROM runs WHERE status = 'running'").fetchall() == [(0,)]


def test_what_is_no_database_of_ours_stays_as_it_is(folder: Path, ask: Ask) -> None:
    (folder / "text.db").write_text("no database " * 100)
    (folder / "empty.db").touch()
    with sqlite3.connect(folder / "other.db") as database:
        database.execute("CREATE TABLE other (n)")
    database.close()
    before = content(folder)
    for name in ("text", "empty", "other"):
        refused = ask("runs", "--database-url", f"sqlite:///{name}.db")
        assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
        assert "cannot be read" in refused.err
    assert content(folder) == before


def test_the_help_names_every_command(ask: Ask) -> None:
    said = ask("--help").out
    assert [line.split()[0] for line in said.splitlines() if line.startswith("    ")] == [
        *("serve", "engine", "mcp", "demo", "create", "run", "runs", "tools", "state", "why", "steps", "logs"),
        *("signal", "cancel", "pause", "resume", "fork", "limits", "graph", "backtest", "schema"),
        *("schedules", "prune", "backup", "restore", "migrate"),
    ]
    assert ask("--version") == (0, f"rungraph {VERSION}\n", "")


def test_a_command_executes_its_own_run_and_leaves_the_others_to_their_servers(folder: Path) -> None:
    """Those may need tools that it does not have."""
    (folder / "again.json").write_text(of("wait", edges='{"a": "a"}'))
    with begun(folder, "run", "again.json", "--tools", "tools.py") as process:
        read_until(process.stdout, "waiting")
        process.send_signal(signal.SIGINT)
        read_until(process.stderr, "stopping")
        (
            folder / "go"
        ).touch()  # Otherwise the step would have its whole grace. The run goes round until it is released.
        process.communicate(timeout=60)
    assert rungraph(folder, "demo").returncode == 0
    with closing(sqlite3.connect(folder / "rungraph.db")) as database:
        assert database.execute("SELECT graph, status FROM v_runs ORDER BY created_at").fetchall() == [
            ("", "queued"),
            ("data-quality", "completed"),
        ]
