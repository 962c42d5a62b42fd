"""What is large, long or easily mistaken is shown so that it can be read."""

from __future__ import annotations

import itertools
import re

from playwright.sync_api import expect

from tests.support.page.browser import Watch
from tests.support.page.graphs import LOOP
from tests.support.system.process import Server

ROWS = """async (source) => {
  const { rowsOf } = await import(new URL('ui/lib/csv.js', document.baseURI));
  return rowsOf(source, ',', true);
}"""


def test_a_large_graph_is_a_list_in_the_order_of_its_ways(server: Server, watch: Watch) -> None:
    names = [f"n{number}" for number in range(301)]
    edges = {name: [{"to": after}] for name, after in itertools.pairwise(names)}
    edges["n300"] = [{"to": "n0"}]
    graph = server.create({"start_node": "n0", "nodes": dict.fromkeys(names, "same"), "edges": edges})
    page = watch.page
    page.goto(f"{server.url}/ui/graphs/{graph}")
    expect(page.locator(".nodelist tbody td:first-child")).to_have_text(names)
    page.locator(".nodelist").get_by_role("button", name="n12", exact=True).click()
    expect(page.get_by_role("region", name="Redraw an edge")).to_contain_text("n11 → n12")


def test_the_log_says_in_words_why_a_run_went_where_it_went(server: Server, watch: Watch) -> None:
    run_id = server.run(server.create(LOOP), n=0)
    server.follow(run_id)
    page = watch.page
    page.goto(f"{server.url}/ui/runs/{run_id}?tab=log")
    expect(page.locator(".log .text", has_text="celebrate → end")).to_have_text("celebrate → end (it has no edges)")
    expect(page.locator(".log .text", has_text="check → celebrate")).to_have_text(
        "check → celebrate (its condition is true)"
    )
    expect(page.locator(".log .text", has_text="count → check").first).to_have_text("count → check (no condition)")


def test_an_empty_text_in_a_table_is_not_no_value(server: Server, watch: Watch) -> None:
    watch.page.goto(f"{server.url}/ui/runs")
    assert watch.page.evaluate(ROWS, 'a,b\n"",\n" c",d\n') == [["a", "b"], ["", None], [" c", "d"]]


def test_many_tags_are_shown_when_they_are_asked_for(server: Server, watch: Watch) -> None:
    tags = {f"tag {number}": "value" for number in range(30)}
    call = {"graph_id": server.create(LOOP), "initial_state": {"n": 0}, "tags": tags}
    run_id = server.call("POST", "/graph/run", json=call).json()["run_id"]
    page = watch.page
    page.goto(f"{server.url}/ui/runs/{run_id}")
    expect(page.locator(".run-title .tag")).to_have_count(12)
    page.get_by_role("button", name=re.compile("18 more")).click()
    expect(page.locator(".run-title .tag")).to_have_count(30)
