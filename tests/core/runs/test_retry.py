"""Backoff's arithmetic, and which errors are tried again how often."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from service.core.graph import ERROR_TYPES, UNRETRIED, Retry
from service.core.retry import backoff_s, is_retried

_seconds = st.integers(0, 10**9) | st.floats(0, 1e9, allow_subnormal=False)
_rates = st.integers(1, 1000) | st.floats(1, 1000)
retries = st.builds(Retry, backoff_s=_seconds, backoff_rate=_rates, max_backoff_s=_seconds)


def test_the_defaults_are_those_of_the_contract() -> None:
    assert [backoff_s(Retry(), failures) for failures in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert [is_retried(Retry(), "tool_error", failures) for failures in (1, 2, 3, 4)] == [True, True, False, False]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"backoff_s": 0}, [0, 0, 0]),
        ({"backoff_s": 0.25, "backoff_rate": 1}, [0.25, 0.25, 0.25]),
        ({"backoff_s": 3, "backoff_rate": 1.5}, [3, 4.5, 6.75]),
        ({"backoff_s": 3, "max_backoff_s": 4}, [3, 4, 4]),
        ({"backoff_s": 3, "max_backoff_s": 1}, [1, 1, 1]),
        ({"backoff_s": 3, "max_backoff_s": 0}, [0, 0, 0]),
    ],
)
def test_it_grows_by_the_rate_up_to_the_maximum(given: dict[str, Any], expected: list[float]) -> None:
    assert [backoff_s(Retry(**given), failures) for failures in (1, 2, 3)] == expected


@given(retries, st.integers(1, 30))
def test_it_is_what_its_definition_says(retry: Retry, failures: int) -> None:
    grown = Fraction(retry.backoff_s) * Fraction(retry.backoff_rate) ** (failures - 1)
    exact = min(grown, Fraction(retry.max_backoff_s))
    assert backoff_s(retry, failures) == pytest.approx(float(exact), rel=1e-9, abs=0)


@given(retries, st.integers(1, 10**6), st.integers(0, 10**6))
def test_it_never_shrinks_nor_passes_its_maximum(retry: Retry, failures: int, more: int) -> None:
    first, later = backoff_s(retry, failures), backoff_s(retry, failures + more)
    assert 0 <= first <= later <= retry.max_backoff_s


@given(retries, st.integers(10**6, 2**63))
def test_it_is_a_number_however_many_attempts_have_failed(retry: Retry, failures: int) -> None:
    assume(retry.backoff_s > 1e-6 and retry.backoff_rate > 1.001)
    assert backoff_s(retry, failures) == retry.max_backoff_s


def test_nothing_grows_to_nothing_however_often() -> None:
    assert backoff_s(Retry(backoff_s=0, backoff_rate=1000), 10**6) == 0


def test_without_retry_there_is_one_attempt() -> None:
    assert not is_retried(None, "tool_error", 1)
    assert not is_retried(Retry(max_attempts=1), "tool_error", 1)


@pytest.mark.parametrize("error_type", ERROR_TYPES)
def test_some_errors_are_tried_again_only_where_they_are_named(error_type: str) -> None:
    assert is_retried(Retry(), error_type, 1) is (error_type not in UNRETRIED)
    assert is_retried(Retry(on=(error_type,)), error_type, 1)
    assert not is_retried(Retry(on=(error_type,)), error_type, 3)
    assert not is_retried(Retry(on=tuple({*ERROR_TYPES} - {error_type})), error_type, 1)


def test_the_errors_that_need_a_name_are_those_of_the_contract() -> None:
    assert {"condition_error", "tool_missing", "crash_loop", "worker_lost"} == UNRETRIED
    assert set(ERROR_TYPES) == UNRETRIED | {"tool_error", "invalid_state", "timeout", "child_failed"}
