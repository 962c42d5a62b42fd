"""`python -m tests.docs PAGE…`: write into pages the answers that a server gives now; look at the difference then."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.support.checkout import CHECKOUT
from tests.support.docs.answers import ANYTHING, pretty
from tests.support.docs.pages import Page
from tests.support.docs.preparing import prepare
from tests.support.docs.terminal import COMMANDS, TERMINAL, reference
from tests.support.system.process import serving


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serving(folder, tools=prepare(folder)) as server:
            for page in sys.argv[1:]:
                file = CHECKOUT / page
                text = file.read_text()
                for block, answer in Page(page, server).answers():
                    # An answer that is shown in part was shortened by hand.
                    if block.language == "json" and ANYTHING not in block.text:
                        shown = f"```json\n{block.text}```"
                        assert shown in text, block.place
                        text = text.replace(shown, f"```json\n{pretty(answer.json)}\n```", 1)
                if page == TERMINAL:
                    text = text.partition(COMMANDS)[0] + COMMANDS + reference()
                file.write_text(text)


if __name__ == "__main__":
    main()
