"""The watchdog: what counts as a look without work, and what does not."""

from __future__ import annotations

import asyncio
import builtins
import ctypes
import resource
import threading
from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from unittest import mock

import pytest

from service.engine.guard import interpreter, watchdog
from service.engine.guard.process_limits import ProcessCheck
from service.engine.guard.watchdog import LoopCheck, Watchdog, WorkCheck

DEADLINE_S = 20.0


class Heard:
    """Told of the end; waits for it, and for looks."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self._looks = 0
        self._changed = threading.Condition()

    def end(self, reason: str) -> None:
        with self._changed:
            self.reasons.append(reason)
            self._changed.notify_all()

    def look(self) -> bool:
        with self._changed:
            self._looks += 1
            self._changed.notify_all()
        return True

    def until_the_end(self) -> str:
        with self._changed:
            assert self._changed.wait_for(lambda: self.reasons, DEADLINE_S)
        return self.reasons[0]

    def after(self, looks: int) -> None:
        """Return when so many more looks were made."""
        with self._changed:
            so_far = self._looks
            assert self._changed.wait_for(lambda: self._looks >= so_far + looks, DEADLINE_S)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    monkeypatch.setattr(watchdog, "LOOK_S", 0.005)
    return Heard()


@pytest.fixture
def watching(heard: Heard) -> Iterator[Watchdog]:
    made = Watchdog(heard.end, looks_max=3)
    made.add("nobody looks", heard.look)
    yield made
    made.stop()


def test_a_part_that_is_not_well_for_so_many_looks_in_a_row_is_the_end(heard: Heard, watching: Watchdog) -> None:
    answers = iter([True, False, False, True, False, False, False])
    watching.add("a part is ill", lambda: next(answers, False))
    watching.start()
    assert heard.until_the_end() == "the server could not work for 0.015 s, because a part is ill"
    assert next(answers, "all asked") == "all asked"


def test_what_a_look_raises_counts_as_not_well(heard: Heard, watching: Watchdog) -> None:
    answers: list[Any] = [lambda: True, lambda: 1 // 0]
    watching.add("a part is ill", lambda: answers.pop(0)() if len(answers) > 1 else answers[0]())
    watching.start()
    assert "a part is ill" in heard.until_the_end()


def test_an_exception_that_is_raised_in_all_threads_does_not_end_the_watch(heard: Heard, watching: Watchdog) -> None:
    watching.start()
    heard.after(1)
    raised = ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(watching._thread.ident or 0), ctypes.py_object(ZeroDivisionError)
    )
    assert raised == 1
    heard.after(3)


def test_a_part_that_never_was_well_counts_unless_another_start_would_not_change_that(
    heard: Heard, watching: Watchdog
) -> None:
    watching.add("a part is ill", lambda: False, once_well=True)
    watching.start()
    heard.after(10)
    assert heard.reasons == []
    watching.add("another part is ill", lambda: False)
    assert "another part" in heard.until_the_end()


def test_a_stop_that_does_not_end_is_the_end_and_one_that_ends_is_none(heard: Heard, watching: Watchdog) -> None:
    watching.start()
    heard.after(1)
    watching.expect_the_end()
    assert "after a stop" in heard.until_the_end()

    other = Watchdog(heard.end, looks_max=1000)
    other.start()
    other.expect_the_end()
    other.stop()
    other._thread.join(DEADLINE_S)
    assert not other._thread.is_alive()
    assert len(heard.reasons) == 1


async def test_a_loop_that_is_held_up_does_not_move_and_one_that_goes_on_does() -> None:
    moves = LoopCheck(asyncio.get_running_loop())
    for _ in range(3):
        assert moves()
        await asyncio.sleep(0)
    # Nothing is awaited here: the loop is held up.
    assert moves()
    assert not moves()
    assert not moves()
    await asyncio.sleep(0)
    assert moves()


@pytest.mark.parametrize("came", [True, False, ZeroDivisionError(), asyncio.CancelledError()], ids=repr)
async def test_work_is_well_as_its_last_trial_came_out(came: Any) -> None:
    async def work() -> bool:
        if isinstance(came, BaseException):
            raise came
        return bool(came)

    works = WorkCheck(asyncio.get_running_loop(), work)
    for _ in range(3 * watchdog.WORK_EVERY):
        is_well = works()
        for _ in range(5):
            await asyncio.sleep(0)
    assert is_well is (came is True)


async def test_work_that_comes_to_no_end_is_not_well() -> None:
    async def work() -> bool:
        await asyncio.sleep(600)
        return True

    works = WorkCheck(asyncio.get_running_loop(), work)
    answers = []
    for _ in range(4 * watchdog.WORK_EVERY):
        answers.append(works())
        await asyncio.sleep(0)
    assert answers == [True] * 3 * watchdog.WORK_EVERY + [False] * watchdog.WORK_EVERY


async def test_work_whose_loop_has_too_much_to_do_is_well() -> None:
    async def work() -> bool:
        return await asyncio.Event().wait()

    works = WorkCheck(asyncio.get_running_loop(), work)
    looks = []
    for _ in range(20):
        # The loop makes no turn between every second pair of looks.
        looks += [works(), works()]
        await asyncio.sleep(0)
    assert not any(not first and not second for first, second in pairwise(looks))


def test_a_builtin_may_be_replaced_by_its_like_and_by_nothing_else() -> None:
    def wrapped(*things: Any) -> None:
        kept(*things)

    class Derived(OSError):
        pass

    kept = print
    assert interpreter.has_builtins()
    with mock.patch.object(builtins, "print", wrapped), mock.patch.object(builtins, "OSError", Derived):
        assert interpreter.has_builtins()
    for name, other in (("print", None), ("OSError", len), ("sorted", 5)):
        with mock.patch.object(builtins, name, other):
            has_all = interpreter.has_builtins()
        assert not has_all
    with mock.patch.object(builtins, "abs"):
        del builtins.abs
        has_all = interpreter.has_builtins()
    assert not has_all
    assert interpreter.has_builtins()


def test_limits_that_were_lowered_are_put_back_and_raised_ones_stay() -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    is_well = ProcessCheck()
    assert is_well()
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**30, before[1]))
        assert is_well()
        assert resource.getrlimit(resource.RLIMIT_FSIZE) == before
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**30, before[1]))
        raised = ProcessCheck()
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**31, before[1]))
        assert raised()
        assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == 2**31
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
