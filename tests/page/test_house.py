"""What the page is made of: its size, its parts, its vendored modules."""

from __future__ import annotations

import hashlib
import re

from tests.support.checkout import CHECKOUT

PAGE = CHECKOUT / "service" / "page"
SCRIPT_BYTES_MAX = 150_000


def test_all_script_together_is_small() -> None:
    scripts = [file for file in PAGE.rglob("*") if file.suffix in (".js", ".mjs")]
    assert sum(file.stat().st_size for file in scripts) <= SCRIPT_BYTES_MAX


def test_files_and_folders_are_small() -> None:
    for file in PAGE.rglob("*.js"):
        assert len(file.read_text().splitlines()) < 200, file
    for folder in (PAGE, *(one for one in PAGE.rglob("*") if one.is_dir())):
        assert len([file for file in folder.iterdir() if file.is_file()]) <= 15, folder


def test_vendored_modules_are_those_that_are_written_down() -> None:
    rows = re.findall(
        r"^\| `(\S+)` \|.*\| (\d+) \| `(\w{64})` \|$", (PAGE / "vendor/README.md").read_text(), re.MULTILINE
    )
    found = {file.name: file.read_bytes() for file in (PAGE / "vendor").glob("*.mjs")}
    assert {name for name, _, _ in rows} == set(found)
    for name, size, digest in rows:
        assert (len(found[name]), hashlib.sha256(found[name]).hexdigest()) == (int(size), digest)


def test_nothing_is_made_markup_and_no_host_is_named() -> None:
    for file in PAGE.rglob("*"):
        if file.suffix not in (".js", ".html", ".css"):
            continue
        text = file.read_text()
        assert not re.search(r"dangerouslySetInnerHTML|innerHTML|insertAdjacentHTML|document\.write|eval\(", text), file
        assert "http://www.w3.org" in text or "://" not in text.replace('"://"', ""), file
