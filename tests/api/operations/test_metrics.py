"""What Prometheus scrapes, read by its own parser; and the dashboard asks only for what is there."""

from __future__ import annotations

import json
import re

import httpx
from prometheus_client.parser import text_string_to_metric_families

from service.core.metrics import Histogram
from tests.support.api.harness import COUNT, Server
from tests.support.checkout import CHECKOUT
from tests.support.core.samples import samples_of

STATUSES = {"queued", "running", "waiting", "paused", "completed", "failed", "cancelled"}
BROKEN = {"start_node": "a", "nodes": {"a": {"tool": "add", "retry": {"max_attempts": 2, "backoff_s": 0}}}}


def test_a_scrape_has_the_figures_of_the_server_and_its_database(live: Server, http: httpx.Client) -> None:
    run_id = live.start(http, COUNT, until=3)
    failing = live.start(http, BROKEN, n="no number")
    for each in (run_id, failing):
        http.get(f"/runs/{each}/events", timeout=60)  # Until it is over.
    answer = http.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = samples_of(answer.text)
    assert found["rungraph_runs"]["completed"] >= 1
    assert set(found["rungraph_runs"]) == STATUSES
    assert found["rungraph_attempts_failed_total"] == {"tool_error": 2}
    assert found["rungraph_runs_ended_total"]["failed"] == 1
    assert found["rungraph_runs_ended_total"]["cancelled"] == 0
    assert found["rungraph_attempt_duration_seconds_count"][""] >= 5
    assert found["rungraph_step_duration_seconds_count"][""] >= 3
    assert found["rungraph_commit_commands_count"][""] <= found["rungraph_commit_commands_sum"][""]
    assert found["rungraph_engine_free_slots"][""] > 0
    assert found["rungraph_database_size_bytes"][""] > 0
    assert found["rungraph_queue_age_seconds"][""] >= 0
    assert found["rungraph_tails_open"][""] == 0
    assert found["rungraph_lease_renewal_age_seconds"][""] >= 0


def test_a_server_without_an_engine_has_the_figures_of_its_database(client: httpx.Client) -> None:
    found = samples_of(client.get("/metrics").text)
    assert set(found["rungraph_runs"]) == STATUSES
    assert "rungraph_engine_free_slots" not in found


def test_a_histogram_counts_what_is_up_to_each_bound() -> None:
    histogram = Histogram([1, 2])
    for value in (0, 1, 1.5, 2, 3):
        histogram.observe(value)
    assert (histogram.counts, histogram.sum) == ([2, 2, 1], 7.5)


def test_the_dashboard_asks_for_metrics_that_there_are(http: httpx.Client) -> None:
    names = {
        sample.name for family in text_string_to_metric_families(http.get("/metrics").text) for sample in family.samples
    } | {"rungraph_attempts_failed_total", "rungraph_runs_ended_total"}
    dashboard = json.loads((CHECKOUT / "docs/deploy/grafana.json").read_text())
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"rungraph_[a-z_]+", target["expr"])
    }
    assert asked
    assert asked - names == set()
    documented = set(re.findall(r"`(rungraph_[a-z_]+)", (CHECKOUT / "docs/operations.md").read_text()))
    shown = {re.sub("_(bucket|sum|count)$", "", name) for name in names}
    assert {name for name in shown if not name.endswith("_created")} == documented
