"""The headers of W3C Trace Context; what is malformed is ignored."""

from __future__ import annotations

import pytest

from service.core.syntax.trace_context import Trace, read_trace

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{PARENT}-01"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (GOOD, GOOD),
        (f" {GOOD}\t", GOOD),
        (f"00-{TRACE}-{PARENT}-00", f"00-{TRACE}-{PARENT}-00"),
        (f"cc-{TRACE}-{PARENT}-03", GOOD),
        (f"cc-{TRACE}-{PARENT}-00-what-the-future-brings", f"00-{TRACE}-{PARENT}-00"),
    ],
)
def test_a_traceparent_is_read(sent: str, kept: str) -> None:
    assert read_trace([sent]) == Trace(kept)


@pytest.mark.parametrize(
    "sent",
    [
        *(
            "",
            "odd",
            GOOD.upper(),
            GOOD[:-1],
            f"{GOOD}-00",
            f"{GOOD}.",
            GOOD.replace("-", "_"),
            f"00-{TRACE}-{PARENT}-",
        ),
        *(f"ff-{TRACE}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01"),
        *(f"00-{TRACE}-{PARENT}-0x", f"0-{TRACE}-{PARENT}-01", f"cc-{TRACE}-{PARENT}-01x", f"{GOOD}\n", "ä" * 55),
    ],
)
def test_a_malformed_traceparent_is_ignored(sent: str) -> None:
    assert read_trace([sent], ["a=1"]) is None


def test_one_traceparent_is_wanted() -> None:
    assert read_trace([]) is None
    assert read_trace([GOOD, GOOD]) is None


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (["a=1,b=2"], "a=1,b=2"),
        (["a=1 ", ",", "t@v= x"], "a=1,t@v= x"),
        ([","], None),
        (["a"], None),
        (["A=1"], None),
        (["a=1,a=2"], None),
        (["a=1=2"], None),
        (["a=\x01"], None),
        ([",".join(f"k{number}=1" for number in range(33))], None),
    ],
)
def test_a_malformed_tracestate_is_dropped_alone(sent: list[str], kept: str | None) -> None:
    assert read_trace([GOOD], sent) == Trace(GOOD, kept)
