"""Find a Chromium for the tests of the page, and say so loudly if there is none."""

from __future__ import annotations

import os
import shutil

import pytest

NO_BROWSER = "SKIPPED: no Chromium was found, so nothing has tried the page in a browser"


def chromium() -> str | None:
    """Return the path of a Chromium, or None: `CHROMIUM`, or what the system has."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


def report_without_browser(reporter: pytest.TerminalReporter) -> None:
    """Print how many tests were skipped because there is no browser, if any were."""
    count = sum(NO_BROWSER in str(report.longrepr) for report in reporter.stats.get("skipped", ()))
    if count:
        reporter.write_line(f"{NO_BROWSER}: {count} tests", red=True, bold=True)
