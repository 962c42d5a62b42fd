"""A person starts, watches and steers runs on the page."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.support.page.browser import Watch, watched
from tests.support.page.graphs import APPROVAL, LOOP, SLEEPER, TICKER
from tests.support.system.process import Server


def run_id_of(page: Page) -> str:
    found = re.search(r"/ui/runs/([0-9a-f-]{36})", page.url)
    assert found is not None
    return found[1]


def status(page: Page, name: str) -> None:
    expect(page.locator(".run-title .status")).to_have_text(name)


def test_a_run_is_started_and_watched(server: Server, watch: Watch) -> None:
    graph = server.create(LOOP)
    page = watch.page
    page.goto(f"{server.url}/")
    page.get_by_role("button", name="Start a run").click()
    page.get_by_role("dialog").get_by_role("combobox").select_option(graph)
    editor = page.get_by_label("Initial state")
    editor.fill('{\n  "n": 1,\n  "big": 12345678901234567890,,\n}')
    expect(page.get_by_role("button", name="line 3")).to_be_visible()
    editor.fill('{"n": 1, "big": 12345678901234567890, "one": 1.0}')
    page.get_by_label("Tags, a line each").fill("env: test")
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url("**/ui/runs/*")
    status(page, "completed")
    expect(page.locator(".statepane")).to_contain_text("12345678901234567890")
    expect(page.locator(".statepane")).to_contain_text("1.0")
    page.get_by_role("button", name=re.compile("^Log")).click()
    expect(page.locator(".line").first).to_contain_text("started at count")
    page.keyboard.press("Home")
    expect(page.locator(".cursor .where")).to_contain_text("initial state")


def test_a_signal_is_sent_by_the_button_that_answers_why(server: Server, watch: Watch) -> None:
    page = watch.page
    page.goto(f"{server.url}/ui/runs/{server.run(server.create(APPROVAL))}")
    page.get_by_role("button", name="Send approve…").click()
    page.get_by_label("Payload").fill('{"ok": true}')
    page.get_by_role("button", name="Send", exact=True).click()
    status(page, "completed")
    expect(page.locator(".statepane .j-key", has_text="approval")).to_be_visible()


def test_a_paused_run_is_resumed_with_a_patch(server: Server, watch: Watch) -> None:
    page = watch.page
    run_id = server.run(server.create(APPROVAL), note="old")
    page.goto(f"{server.url}/ui/runs/{run_id}")
    page.get_by_role("button", name="Pause").click()
    status(page, "paused")
    page.get_by_role("button", name="Resume with changes…").click()
    page.get_by_label("State", exact=True).fill('{"note": "new"}')
    page.get_by_role("dialog").get_by_role("button", name="Resume", exact=True).click()
    status(page, "waiting")
    assert server.call("GET", f"/graph/state/{run_id}").json()["state"] == {"note": "new"}


def test_a_fork_goes_on_with_an_edited_state(server: Server, watch: Watch) -> None:
    page = watch.page
    run_id = server.run(server.create(LOOP), n=0)
    server.follow(run_id)
    page.goto(f"{server.url}/ui/runs/{run_id}?step=2")
    page.get_by_role("button", name="Fork…").click()
    page.get_by_label("State", exact=True).fill('{"n": 1000}')
    page.get_by_role("button", name="Fork", exact=True).click()
    page.wait_for_url(lambda url: run_id not in url)
    status(page, "completed")
    fork = server.follow(run_id_of(page))
    assert fork["forked_from"] == {"run_id": run_id, "step": 2}
    assert fork["state"] == {"n": 1007}


def test_an_edge_that_was_not_taken_is_made_true(server: Server, watch: Watch) -> None:
    page = watch.page
    run_id = server.run(server.create(LOOP), n=0)
    server.follow(run_id)
    page.goto(f"{server.url}/ui/runs/{run_id}?step=2&tab=decisions&node=check")
    page.get_by_role("button", name="Make it true").click()
    expect(page.get_by_role("dialog").locator(".changes")).to_contain_text("30")
    page.get_by_role("button", name="Fork to celebrate").click()
    page.wait_for_url(lambda url: run_id not in url)
    status(page, "completed")
    fork = server.follow(run_id_of(page))
    assert (fork["state"], fork["step"]) == ({"n": 30}, 1)
    page.get_by_role("link", name="compare", exact=True).click()
    expect(page.locator(".side-b")).to_contain_text("celebrate")


def test_two_runs_are_compared_where_they_part(server: Server, watch: Watch) -> None:
    graph = server.create(LOOP)
    ids = [server.run(graph, n=number) for number in (2, 16)]
    for run_id in ids:
        server.follow(run_id)
    page = watch.page
    page.goto(f"{server.url}/ui/compare?a={ids[0]}&b={ids[1]}")
    expect(page.locator(".side-a")).to_contain_text("step 4 of")
    expect(page.locator(".side-a .test").first).to_have_text("16 ≥ 30")
    expect(page.locator(".edge.only-a")).to_have_count(1)
    expect(page.locator(".edge.only-b")).to_have_count(1)
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".cursor .where")).to_contain_text("row 3")
    expect(page.locator(".changes")).to_contain_text("n")
    expect(page.locator(".legend")).to_be_visible()


def test_runs_on_different_graphs_are_compared_by_where_they_went(server: Server, watch: Watch) -> None:
    to_b, to_c = ({"start_node": "a", "nodes": dict.fromkeys("abc", "count"), "edges": {"a": way}} for way in "bc")
    ids = [server.run(server.create(graph), n=0) for graph in (to_b, to_c)]
    for run_id in ids:
        server.follow(run_id)
    page = watch.page
    page.goto(f"{server.url}/ui/compare?a={ids[0]}&b={ids[1]}")
    expect(page.locator(".edge.only-a", has_text="a → b")).to_have_count(1)
    expect(page.locator(".edge.both, .edge.only-b")).to_have_count(0)


def test_a_fork_of_a_running_run_begins_at_the_step_that_was_seen(chrome: Browser, tools: Path, tmp_path: Path) -> None:
    server = Server(tmp_path, tools=[tools]).start()
    run_id = server.run(server.create(TICKER), n=0)
    with watched(chrome) as watch:
        page = watch.page
        page.goto(f"{server.url}/ui/runs/{run_id}")
        expect(page.locator(".cursor .where")).to_have_text("step 60 of 60")
        page.get_by_role("button", name="Fork…").click()
        (tmp_path / "go-60").touch()
        expect(page.locator(".cursor .where")).to_have_text("step 120 of 120")
        expect(page.get_by_role("heading", name="Fork after step 60")).to_be_visible()
        (tmp_path / "go-120").touch()
    server.stop()


def test_an_edge_is_redrawn_and_the_last_runs_are_asked(server: Server, watch: Watch) -> None:
    graph = server.create({**LOOP, "name": "redrawn"})
    server.follow(server.run(graph, n=0))
    page = watch.page
    page.goto(f"{server.url}/ui/graphs/{graph}")
    page.get_by_role("button", name=re.compile("^check → celebrate")).focus()
    page.keyboard.press("Enter")
    page.get_by_label("Condition").fill('{"key": "n", "op": ">=", "value": 20}')
    page.get_by_role("button", name="Backtest").click()
    expect(page.locator(".redraw")).to_contain_text("1 of 1 run would have gone elsewhere")
    page.get_by_role("button", name="Fork", exact=True).first.click()
    page.wait_for_url("**/ui/runs/*")
    status(page, "completed")
    assert server.follow(run_id_of(page))["graph_id"] != graph


def test_all_that_match_are_cancelled(server: Server, watch: Watch) -> None:
    graph = server.create(SLEEPER)
    for _ in range(3):
        server.call("POST", "/graph/run", json={"graph_id": graph, "tags": {"bulk": "yes"}})
    page = watch.page
    page.goto(f"{server.url}/ui/runs")
    page.keyboard.press("/")
    page.keyboard.type("bulk:yes")
    page.keyboard.press("Enter")
    expect(page.locator("table.runs tbody tr")).to_have_count(3)
    page.get_by_role("button", name="Act on all…").click()
    expect(page.get_by_role("dialog")).to_contain_text("3 runs would be cancelled")
    page.get_by_role("button", name="cancel 3").click()
    expect(page.get_by_role("dialog")).to_contain_text("3 runs done")
    page.get_by_role("button", name="Close", exact=True).last.click()
    expect(page.locator("table.runs .s-cancelled")).to_have_count(3)
