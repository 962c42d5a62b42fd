"""The types of the page's script, as TypeScript infers them, are without contradictions."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.checkout import CHECKOUT
from tests.support.page.programs import NO_TSC, tsc


def test_the_types_of_the_page_fit() -> None:
    program = tsc()
    if program is None:
        pytest.skip(NO_TSC)
    done = subprocess.run([program, "-p", CHECKOUT / "tests/page/types"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
