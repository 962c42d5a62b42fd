"""The seeded mutants fit the code as it is: each edit has its place, and each test its file."""

from __future__ import annotations

import pytest

from tests.mutants import MUTANTS, ROOT, Mutant, edited


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_edit_has_one_place(mutant: Mutant) -> None:
    assert edited(ROOT, mutant)
    assert (ROOT / mutant.tests[0]).exists()
