"""A browser that fails the test if the page does what it must not do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.support.page.programs import chromium

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--process-per-site",  # A process for each page takes half of the time of a test.
)
DEADLINE_MS = 60_000
REPORTS = "window.reports = []; addEventListener('securitypolicyviolation', (e) => reports.push(e.violatedDirective));"


@contextmanager
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield found
        found.close()


class Watch:
    """A page of a browser context of its own, and what went wrong on it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.wrong: list[str] = []
        self.may_fail = False
        """Whether calls may fail, because the test stops the server or refuses the token."""
        self._hosts: set[str] = set()
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", self._see)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not (self.may_fail and _is_about_network(message.text)):
            self.wrong.append(f"{message.text} {message.location}")

    def _see(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme not in ("data", "blob"):
            self._hosts.add(url.netloc)

    def check(self) -> None:
        """Fail where the console has an error, the policy a report, or a request another host."""
        reports = self.page.evaluate("window.reports")
        assert not self.wrong, self.wrong
        assert not reports, reports
        assert len(self._hosts) <= 1, self._hosts
        assert self.page.evaluate("window.hacked") is None


def _is_about_network(text: str) -> bool:
    return "Failed to load resource" in text or "WebSocket connection" in text or "net::ERR" in text


@contextmanager
def watched(found: Browser, *, width: int = 1280, dark: bool = False) -> Iterator[Watch]:
    context = found.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
        timezone_id="Europe/Berlin",
    )
    # Only against hanging: no test says how long anything takes.
    context.set_default_timeout(DEADLINE_MS)
    expect.set_options(timeout=DEADLINE_MS)
    context.add_init_script(REPORTS)
    watch = Watch(context.new_page())
    try:
        yield watch
        watch.check()
    finally:
        context.close()
