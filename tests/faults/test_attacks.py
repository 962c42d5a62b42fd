"""The documentation of the campaign of attacks, which is `python -m tests.faults --attacks`."""

from __future__ import annotations

import re

from tests.faults.attacks.kinds import ATTACKS, WITH_TOKEN
from tests.support.checkout import CHECKOUT


def test_the_documentation_names_each_attack() -> None:
    text = (CHECKOUT / "docs/operations.md").read_text()
    table = text[text.index("| attacks on |") :].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table)) == {*ATTACKS}
    assert {*ATTACKS} >= WITH_TOKEN
