"""The page where the world is unfriendly: tokens, dead servers, hostile content, proxies; and for everybody."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, WebSocket, expect

from tests.support.page.browser import Watch, watched
from tests.support.page.graphs import HOSTILE, LOOP, TICKER, hostile
from tests.support.page.proxy import proxied
from tests.support.system.process import Server

DROP = """(text) => {
  const given = new DataTransfer();
  given.items.add(new File([text], 'table.csv', { type: 'text/csv' }));
  document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: given, bubbles: true, cancelable: true }));
}"""


def test_a_dropped_file_is_checked(server: Server, watch: Watch) -> None:
    page = watch.page
    page.goto(f"{server.url}/ui/runs")
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    page.evaluate(DROP, "city,n\n" + "Paris,1\n" * 20 + "Paris ,2\n")
    page.get_by_role("dialog").get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url("**/ui/runs/*")
    expect(page.locator(".run-title .status")).to_have_text("completed")
    page.get_by_role("button", name="Quality").click()
    expect(page.locator(".facts")).to_contain_text("rows")
    page.get_by_role("button", name="Files").click()
    page.get_by_role("button", name="cleaned.csv").click()
    expect(page.locator(".csv")).to_contain_text("Paris")


def test_the_token_is_asked_for_once(chrome: Browser, tools: Path, tmp_path: Path) -> None:
    server = Server(tmp_path, tools=[tools], RUNGRAPH_API_TOKEN="s3cret").start()
    with watched(chrome) as watch:
        watch.may_fail = True
        page = watch.page
        page.goto(f"{server.url}/ui/graphs")
        page.get_by_label("Token").fill("wrong")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_contain_text("not this server's token")
        page.get_by_label("Token").fill("s3cret")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_text("No graphs yet.")).to_be_visible()
        page.reload()
        expect(page.get_by_text("No graphs yet.")).to_be_visible()
    server.stop()


def test_the_log_has_no_gap_after_the_server_was_killed(chrome: Browser, tools: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    server = Server(tmp_path, tools=[tools], what=("serve", "--port", port), RUNGRAPH_LEASE_SECONDS="1").start()
    with watched(chrome) as watch:
        watch.may_fail = True
        seen: list[int] = []

        def listen(socket: WebSocket) -> None:
            socket.on("framereceived", lambda text: seen.append(json.loads(text)["seq"]))

        page = watch.page
        page.on("websocket", listen)
        run_id = server.run(server.create(TICKER), n=0)
        page.goto(f"{server.url}/ui/runs/{run_id}?tab=log")
        expect(page.locator(".line", has_text="tick 60")).to_be_visible()
        server.kill()
        expect(page.locator(".link-state")).to_have_text("connecting…")
        (tmp_path / "go-60").touch()
        server.start()
        expect(page.locator(".line", has_text="tick 120")).to_be_visible()
        expect(page.locator(".link-state")).to_have_text("connected")
        (tmp_path / "go-120").touch()
        expect(page.locator(".run-title .status")).to_have_text("completed")
        expect(page.locator(".logpane")).to_contain_text("tick 149")
        last = server.call("GET", f"/graph/state/{run_id}").json()["last_seq"]
        assert seen == list(range(seen[0], last + 1))
        expect(page.locator(".logpane > .hint").last).to_contain_text(f"{last} lines")
        page.get_by_role("button", name="First line", exact=True).click()
        expect(page.locator(".line").first).to_contain_text("started at tick")
    server.stop()


def test_hostile_content_runs_nowhere(server: Server, watch: Watch) -> None:
    graph = server.create(hostile())
    asked: dict[str, Any] = {"graph_id": graph, "initial_state": {"text": HOSTILE, "__proto__": {"a": 1}}}
    asked["tags"] = {HOSTILE: HOSTILE}
    run_id = server.call("POST", "/graph/run", json=asked).json()["run_id"]
    server.follow(run_id, until=["waiting"])
    page = watch.page
    for tab in ("state", "decisions", "log", "files"):
        page.goto(f"{server.url}/ui/runs/{run_id}?tab={tab}&step=2")
        expect(page.locator(".run-title h1")).to_contain_text(HOSTILE)
        page.locator(f".{'statepane' if tab == 'state' else 'logpane' if tab == 'log' else tab}").wait_for()
    page.get_by_role("button", name="x.csv").click()
    expect(page.locator(".csv")).to_contain_text(HOSTILE[:20])
    with page.expect_download() as download:
        page.get_by_role("link", name="Download x.html").click()
    assert download.value.suggested_filename == "x.html"
    for view in ("runs", "graphs", f"graphs/{graph}", f"graphs/{graph}?tab=versions", f"compare?a={run_id}&b={run_id}"):
        page.goto(f"{server.url}/ui/{view}")
        expect(page.locator("main")).to_contain_text("img src=x" if "compare" not in view else "same way")


def test_a_url_that_cannot_be_decoded_has_an_answer(server: Server, watch: Watch) -> None:
    watch.may_fail = True
    watch.page.goto(f"{server.url}/ui/runs/%E0%A4%A")
    expect(watch.page.get_by_text("There is no such run.")).to_be_visible()


HEAD = """async (bytes) => {
  const { head } = await import(new URL('ui/lib/api.js', document.baseURI));
  const { text, isAll } = await head('livez', bytes);
  return [text.length, isAll];
}"""


CUT = """async (path) => {
  const { head } = await import(new URL('ui/lib/api.js', document.baseURI));
  return (await head(path, 1001)).text;
}"""


def test_a_file_that_just_fits_is_shown_whole(server: Server, watch: Watch) -> None:
    watch.page.goto(f"{server.url}/ui/graphs")
    length = len(server.call("GET", "/livez").text)
    assert [watch.page.evaluate(HEAD, size) for size in (length, 10 * length)] == [[length, True]] * 2
    run_id = server.run(server.create(LOOP), n=0, text="ü" * 150_000)
    server.follow(run_id)
    text = watch.page.evaluate(CUT, f"runs/{run_id}/state?step=0")
    assert set(text.partition("ü")[2]) <= set('ü"}')  # Wherever it is cut, no character is.


def test_it_works_below_a_path_of_a_proxy(server: Server, chrome: Browser) -> None:
    run_id = server.run(server.create(LOOP), n=0)
    server.follow(run_id)
    with proxied(server.url, "/some/path") as url, watched(chrome) as watch:
        page = watch.page
        page.goto(f"{url}/")
        page.locator("a[data-row]").first.wait_for()
        page.goto(f"{url}/ui/runs/{run_id}")
        expect(page.locator(".run-title .status")).to_have_text("completed")
        page.get_by_role("link", name="Graphs").click()
        assert page.url == f"{url}/ui/graphs"


WIDE, NARROW = 1280, 400
VIEWS = ("runs", "runs/{run}", "runs/{run}?tab=decisions&node=check", "runs/{run}?tab=log", "graphs", "graphs/{graph}")


def test_axe_finds_nothing_and_nothing_overflows(server: Server, chrome: Browser) -> None:
    """A wide and light page is made narrow and dark, which shows the same elements in other sizes and colours."""
    graph = server.create(LOOP)
    run_id = server.run(graph, n=0)
    server.follow(run_id)
    found = []
    with watched(chrome, width=WIDE) as watch:
        page = watch.page
        for view in (*VIEWS, "compare?a={run}&b={run}"):
            page.goto(f"{server.url}/ui/{view.format(run=run_id, graph=graph)}")
            page.locator("main").locator("table, .picture svg, .log").first.wait_for()
            for width in (WIDE, NARROW):
                page.set_viewport_size({"width": width, "height": 900})
                page.emulate_media(color_scheme="light" if width == WIDE else "dark")
                assert page.evaluate("document.documentElement.scrollWidth") <= width, view
                violations = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
                found += [(view, width, one["id"], [node["html"] for node in one["nodes"]][:3]) for one in violations]
    assert found == []
