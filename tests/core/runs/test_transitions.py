"""The table of legal transitions."""

from __future__ import annotations

from itertools import product

import pytest

from service.core.transitions import CLAIMABLE, LEGAL, OVER, Status, is_legal

EXPECTED = {
    *((Status.QUEUED, status) for status in (Status.RUNNING, Status.PAUSED, Status.CANCELLED)),
    *((Status.RUNNING, status) for status in Status),
    *((Status.WAITING, status) for status in (Status.RUNNING, Status.PAUSED, Status.CANCELLED)),
    *((Status.PAUSED, status) for status in (Status.QUEUED, Status.WAITING, Status.CANCELLED)),
    (Status.FAILED, Status.QUEUED),
}


@pytest.mark.parametrize(("before", "then"), list(product(Status, Status)))
def test_a_transition_is_legal_or_not(before: Status, then: Status) -> None:
    assert is_legal(before, then) is ((before, then) in EXPECTED)


def test_the_table_agrees_with_what_is_over_and_what_is_claimable() -> None:
    assert LEGAL.keys() == set(Status)
    assert {status for status, following in LEGAL.items() if not following} == OVER - {Status.FAILED}
    assert not OVER & CLAIMABLE
    assert all(is_legal(status, Status.RUNNING) for status in CLAIMABLE)
