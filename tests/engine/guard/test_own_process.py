"""A forked child knows that it is one, however it was forked and whatever the system can do."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Callable

import pytest

from service.engine.guard import own_process

KINDS = {"page": own_process._by_page, "pid": own_process._by_pid}
FORKS: dict[str, Callable[[], int]] = {"Python's": os.fork, "the C library's": ctypes.CDLL(None).fork}


def exit_code_of_child(fork: Callable[[], int], work: Callable[[], int]) -> int:
    pid = fork()
    if pid == 0:
        code = 99
        try:
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.filterwarnings("ignore:This process")  # That a fork of a process with threads is dangerous.
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fork", FORKS)
def test_a_child_is_told_until_it_claims_to_be_the_process(kind: str, fork: str) -> None:
    is_child, claim = KINDS[kind]()
    claim()

    def in_grandchild() -> int:
        return 1 if is_child() else 0

    def in_child() -> int:
        before = is_child()
        grandchild = exit_code_of_child(FORKS[fork], in_grandchild)
        claim()
        own_child = exit_code_of_child(FORKS[fork], in_grandchild)
        return before + 2 * grandchild + 4 * own_child + 8 * is_child()

    assert exit_code_of_child(FORKS[fork], in_child) == 1 + 2 + 4
    assert not is_child()


@pytest.mark.parametrize("refused", [(), (18, -1)], ids=["takes any advice", "refuses all"])
def test_a_system_that_cannot_clear_a_page_is_noticed(
    monkeypatch: pytest.MonkeyPatch, refused: tuple[int, ...]
) -> None:
    class Page:
        def __init__(self, *_: object, **__: object) -> None: ...

        def madvise(self, advice: int) -> None:
            if advice in refused:
                raise OSError("no")

    monkeypatch.setattr(mmap, "mmap", Page)
    with pytest.raises((OSError, AttributeError)):
        own_process._by_page()
