"""Find the programs that the tests of the page need, and report which of them is missing."""

from __future__ import annotations

import os
import shutil

import pytest

NO_BROWSER = "SKIPPED: no Chromium was found, so nothing has tried the page in a browser"
NO_TSC = "SKIPPED: no tsc was found, so nothing has checked the types of the page"


def chromium() -> str | None:
    """Return the path of a Chromium, or None: `CHROMIUM`, or what the system has."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


def tsc() -> str | None:
    """Return the path of TypeScript's compiler, or None."""
    return shutil.which("tsc")


def report_missing(reporter: pytest.TerminalReporter) -> None:
    """Print how many tests were skipped because a program is missing, if any were."""
    skipped = [str(report.longrepr) for report in reporter.stats.get("skipped", ())]
    for reason in (NO_BROWSER, NO_TSC):
        if count := sum(reason in each for each in skipped):
            reporter.write_line(f"{reason}: tests: {count}", red=True, bold=True)
