"""The table of legal transitions."""

from __future__ import annotations

from itertools import product

import pytest

from service.core.transitions import CLAIMABLE, LEGAL, OVER, Command, Status

EXPECTED = {
    *((Status.QUEUED, status) for status in (Status.RUNNING, Status.PAUSED, Status.CANCELLED)),
    *((Status.RUNNING, status) for status in Status),
    *((Status.WAITING, status) for status in (Status.RUNNING, Status.PAUSED, Status.CANCELLED)),
    *((Status.PAUSED, status) for status in (Status.QUEUED, Status.WAITING, Status.CANCELLED)),
    (Status.FAILED, Status.QUEUED),
}


@pytest.mark.parametrize(("before", "then"), list(product(Status, Status)))
def test_a_transition_is_legal_or_not(before: Status, then: Status) -> None:
    assert (then in LEGAL[before]) is ((before, then) in EXPECTED)


def test_the_table_says_what_is_over_and_what_is_claimable() -> None:
    assert LEGAL.keys() == set(Status)
    assert {Status.COMPLETED, Status.FAILED, Status.CANCELLED} == OVER
    assert {Status.QUEUED, Status.RUNNING, Status.WAITING} == CLAIMABLE


def test_every_arrow_names_its_commands_and_every_command_has_an_arrow() -> None:
    named = [commands for following in LEGAL.values() for commands in following.values()]
    assert all(named)
    assert set().union(*named) == set(Command)
