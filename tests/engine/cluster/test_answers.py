"""What a worker has answered, and what becomes of an answer that cannot be read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from service.engine.cluster.call import Disconnected
from service.engine.cluster.messages import Unfit
from service.engine.cluster.session import _result


def answered(answer: Any) -> Any:
    found = asyncio.get_running_loop().create_future()
    found.set_result(answer)
    return found


@pytest.mark.parametrize(
    "answer",
    [
        None,
        5,
        "",
        "{",
        "[]",
        '["else"]',
        '["ended","x",0,[],0,null]',
        '["ended","x",0,[],0,["succeeded",{"k":[1]},[]]]',
    ],
)
async def test_after_an_answer_that_cannot_be_read_the_call_may_have_been_made(answer: Any) -> None:
    """So it is not made on another worker as if it had not begun."""
    assert isinstance(await _result(answered(answer)), Disconnected)


async def test_a_worker_that_cannot_execute_our_function_has_made_no_call() -> None:
    failed = asyncio.get_running_loop().create_future()
    failed.set_exception(TypeError("cannot unpickle"))
    assert isinstance(await _result(failed), Unfit)  # type: ignore[arg-type]
