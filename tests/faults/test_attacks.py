"""The campaign of attacks: one short attack, and its documentation."""

from __future__ import annotations

import re

from tests.faults.attacks.campaign import attack
from tests.faults.attacks.kinds import ATTACKS, WITH_TOKEN
from tests.support.checkout import CHECKOUT


def test_a_good_client_is_served_during_an_attack() -> None:
    result = attack("endless_header", 1.0)
    assert result.wrong == []
    assert result.asked == result.answered > 0
    assert result.answers


def test_the_documentation_names_each_attack() -> None:
    text = (CHECKOUT / "docs/operations.md").read_text()
    table = text[text.index("| attacks on |") :].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table)) == {*ATTACKS}
    assert {*ATTACKS} >= WITH_TOKEN
